package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
)

// schemas holds the schema of version v1 of each kind, parsed when the first object of the kind comes.
type schemas struct {
	raw    map[string]json.RawMessage
	parsed map[string]*schema
}

// schema is how the API server sees one kind: its structure, and the checks of values and of CEL rules.
type schema struct {
	structure *structuralschema.Structural
	values    validation.SchemaValidator
	rules     *cel.Validator
}

// readSchemas reads {"RayCluster": openAPIV3Schema, …}.
func readSchemas(path string) (*schemas, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	found := &schemas{parsed: map[string]*schema{}}
	if err := json.Unmarshal(content, &found.raw); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return found, nil
}

func (s *schemas) of(kind string) (*schema, error) {
	if known, ok := s.parsed[kind]; ok {
		return known, nil
	}
	var written apiextensionsv1.JSONSchemaProps
	if err := json.Unmarshal(s.raw[kind], &written); err != nil {
		return nil, fmt.Errorf("schema of %s: %w", kind, err)
	}
	var internal apiextensions.JSONSchemaProps
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(&written, &internal, nil); err != nil {
		return nil, fmt.Errorf("schema of %s: %w", kind, err)
	}
	structure, err := structuralschema.NewStructural(&internal)
	if err != nil {
		return nil, fmt.Errorf("schema of %s: %w", kind, err)
	}
	values, _, err := validation.NewSchemaValidator(&internal)
	if err != nil {
		return nil, fmt.Errorf("schema of %s: %w", kind, err)
	}
	rules := cel.NewValidator(structure, true, celconfig.PerCallLimit)
	s.parsed[kind] = &schema{structure, values, rules}
	return s.parsed[kind], nil
}

// admit does to an object what the API server does to a custom resource on its way in: nulls away, unknown fields away,
// defaults in. It returns what the schema refuses. The error names the first field that is unknown or of a wrong type.
func (s *schema) admit(object map[string]any) ([]string, error) {
	delete(object, "status") // a subresource: not taken from a manifest
	unknown := pruning.PruneWithOptions(object, s.structure, true, structuralschema.UnknownFieldPathOptions{
		TrackUnknownFieldPaths: true,
	})
	if len(unknown) > 0 {
		return nil, fmt.Errorf("%s: unknown field", unknown[0])
	}
	defaulting.PruneNonNullableNullsWithoutDefaults(object, s.structure)
	defaulting.Default(object, s.structure)
	refused := []string{}
	for _, problem := range validation.ValidateCustomResource(nil, object, s.values) {
		if problem.Type == field.ErrorTypeTypeInvalid {
			return nil, fmt.Errorf("%s: %s", problem.Field, wrongType(problem))
		}
		refused = append(refused, problem.Error())
	}
	if s.rules != nil && len(refused) == 0 { // they may not be asked of what the schema refuses
		broken, _ := s.rules.Validate(context.Background(), nil, s.structure, object, nil, celconfig.RuntimeCELCostBudget)
		for _, problem := range broken {
			refused = append(refused, problem.Error())
		}
	}
	return refused, nil
}

// wrongType is the second half of `spec.x in body must be of type integer: "string"`, which names the field twice.
func wrongType(problem *field.Error) string {
	if _, after, found := strings.Cut(problem.Detail, " in body "); found {
		return after
	}
	return problem.Detail
}
