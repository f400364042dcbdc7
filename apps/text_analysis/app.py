"""The typed application builder that serve.yaml names: `apps.text_analysis.app:build_app`.

No `from __future__ import annotations` here: Serve reads the annotation of `args` to validate the arguments.
"""

from typing import Any

from apps.common.paths import models_dir
from apps.text_analysis.deployments import Ingress, Preprocessor, Sentiment, Summary
from apps.text_analysis.settings import TextAnalysisArgs


def build_app(args: TextAnalysisArgs) -> Any:
    """Return the Serve application for `args`; the Summary finds its model when it starts."""
    model = models_dir(args.models) / args.embedder.model
    return Ingress.bind(args.limits, Preprocessor.bind(), Sentiment.bind(), Summary.bind(args.embedder, model))
