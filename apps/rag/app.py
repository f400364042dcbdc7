"""The typed application builder that serve.yaml names: `apps.rag.app:build_app`.

No `from __future__ import annotations` here: Serve reads the annotation of `args` to validate the arguments.
"""

from typing import Any

from apps.common.paths import data_dir, models_dir
from apps.rag.deployments import Generator, Ingress, Normalizer, Reranker, Retriever, VectorStore
from apps.rag.settings import RagArgs


def build_app(args: RagArgs) -> Any:
    """Return the Serve application for `args`; replicas find models and index when they start."""
    models = models_dir(args.models)
    model = models / args.embedder.model
    store = VectorStore.bind(args.store, model, data_dir(args.data) / args.index)
    return Ingress.bind(
        args.limits,
        Normalizer.bind(),
        Retriever.bind(args.embedder, model, store),
        Reranker.bind(args.reranker, models),
        Generator.bind(args.generator),
    )
