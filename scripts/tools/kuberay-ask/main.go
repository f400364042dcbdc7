// Command kuberay-ask answers what KubeRay's operator does with a manifest, without a cluster: the operator's own code of
// the pinned version is linked in, and so is the API server's treatment of custom resources.
//
// It takes the path of the CRDs' schemas as its only argument and one question on stdin:
//
//	{"environment": {"NAME": "value"}, "gates": "A=true,B=false", "objects": [{"apiVersion": "ray.io/v1", …}]}
//
// and writes a list of answers, one for each object in the order of the question.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	utilfeature "k8s.io/apiserver/pkg/util/feature"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/go-logr/logr"
)

// question is what comes on stdin. Environment and Gates are those that the operator's Deployment sets.
type question struct {
	Environment map[string]string `json:"environment"`
	Gates       string            `json:"gates"`
	Objects     []json.RawMessage `json:"objects"`
}

// answer is what goes to stdout for one object. Error: it cannot be decoded; then the rest is empty.
type answer struct {
	Error        string           `json:"error"`
	Refused      []string         `json:"refused"`
	Problems     []string         `json:"problems"`
	Hash         string           `json:"hash"`
	PrefixHashes []string         `json:"prefix_hashes"`
	Pods         []map[string]any `json:"pods"`
}

func main() {
	answers := os.Stdout
	os.Stdout = os.Stderr // KubeRay prints there when it shortens a name (controllers/ray/utils/util.go:225)
	ctrl.SetLogger(logr.Discard())
	if err := run(os.Args[1:], os.Stdin, answers); err != nil {
		fmt.Fprintln(os.Stderr, "kuberay-ask:", err)
		os.Exit(1)
	}
}

func run(arguments []string, in io.Reader, out io.Writer) error {
	if len(arguments) != 1 {
		return fmt.Errorf("usage: kuberay-ask SCHEMAS.json < question.json")
	}
	schemas, err := readSchemas(arguments[0])
	if err != nil {
		return err
	}
	var asked question
	if err := json.NewDecoder(in).Decode(&asked); err != nil {
		return fmt.Errorf("the question is no JSON: %w", err)
	}
	for name, value := range asked.Environment {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	if err := utilfeature.DefaultMutableFeatureGate.Set(asked.Gates); err != nil {
		return fmt.Errorf("feature gates: %w", err)
	}
	given := make([]answer, 0, len(asked.Objects))
	for _, object := range asked.Objects {
		given = append(given, answerTo(object, schemas))
	}
	return json.NewEncoder(out).Encode(given)
}
