"""The typed application builder that serve.yaml names: `apps.document_intelligence.app:build_app`.

No `from __future__ import annotations` here: Serve reads the annotation of `args` to validate the arguments.
"""

from typing import Any

from apps.common.paths import models_dir
from apps.document_intelligence.deployments import Classifier, Extractor, Ingress, Ner, Ocr
from apps.document_intelligence.settings import DocumentArgs


def build_app(args: DocumentArgs) -> Any:
    """Return the Serve application for `args`; replicas find the models when they start."""
    models = models_dir(args.models)
    return Ingress.bind(
        args.limits,
        args.reader.characters,
        Ocr.bind(args.reader),
        Ner.bind(args.ner, models),
        Classifier.bind(args.classifier, models),
        Extractor.bind(args.extractor),
    )
