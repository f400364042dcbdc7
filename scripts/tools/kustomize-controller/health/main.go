// What Flux says of objects, by the library that its kustomize-controller evaluates health with, without a cluster.
// Reads {"healthCheckExprs": [...], "objects": [...]} as JSON, writes a list: Current, Failed, InProgress or the error.
package main

import (
	"context"
	"io"
	"log"
	"os"

	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json" // whole numbers stay whole, as from the API server
)

type question struct {
	HealthCheckExprs []kustomize.CustomHealthCheck `json:"healthCheckExprs"`
	Objects          []map[string]any              `json:"objects"`
}

func main() {
	input, err := io.ReadAll(os.Stdin)
	if err != nil {
		log.Fatal(err)
	}
	var asked question
	if err := json.Unmarshal(input, &asked); err != nil {
		log.Fatal(err)
	}
	evaluators := map[string]*cel.StatusEvaluator{}
	for _, check := range asked.HealthCheckExprs {
		evaluator, err := cel.NewStatusEvaluator(&check.HealthCheckExpressions)
		if err != nil {
			log.Fatalf("%s: %v", check.Kind, err)
		}
		evaluators[check.APIVersion+"/"+check.Kind] = evaluator
	}
	answers := []string{}
	for _, content := range asked.Objects {
		answers = append(answers, answer(evaluators, &unstructured.Unstructured{Object: content}))
	}
	output, err := json.Marshal(answers)
	if err != nil {
		log.Fatal(err)
	}
	_, _ = os.Stdout.Write(output)
}

func answer(evaluators map[string]*cel.StatusEvaluator, object *unstructured.Unstructured) string {
	evaluator, found := evaluators[object.GetAPIVersion()+"/"+object.GetKind()]
	if !found {
		return "error: no expressions for " + object.GetKind()
	}
	result, err := evaluator.Evaluate(context.Background(), object)
	if err != nil {
		return "error: " + err.Error()
	}
	return result.Status.String()
}
