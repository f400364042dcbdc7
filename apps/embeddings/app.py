"""The typed application builder that serve.yaml names: `apps.embeddings.app:build_app`.

No `from __future__ import annotations` here: Serve reads the annotation of `args` to validate the arguments.
"""

from typing import Any

from apps.common.paths import models_dir
from apps.embeddings.deployments import AutoscaledClassifier, Embedder, Ingress
from apps.embeddings.settings import EmbeddingsArgs


def build_app(args: EmbeddingsArgs) -> Any:
    """Return the Serve application for `args`; replicas find their models when they start."""
    models = models_dir(args.models)
    names = args.names()
    embedder = Embedder.bind(args.encoder, {model.name: models / model.folder for model in args.serve_models})
    classifier_model = names[args.classifier.model]
    classifier = AutoscaledClassifier.bind(classifier_model, embedder)
    return Ingress.bind(args.limits, names, classifier_model, embedder, classifier)
