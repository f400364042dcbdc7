module rayops/tools/crds

go 1.26.0

// Source archives that bring CRDs as YAML; nothing is compiled. rayops.render.crds reads each version here, and `go mod
// download` holds the archive against go.sum. Not a whole module graph (External Secrets replaces parts of its own by
// folders): no `go mod tidy`.
require (
	github.com/external-secrets/external-secrets v1.3.2
	github.com/fluxcd/source-controller v1.9.5
	github.com/prometheus-operator/prometheus-operator v0.85.0
)
