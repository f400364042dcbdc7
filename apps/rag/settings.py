"""Typed arguments of the application (`args` in serve.yaml) and its live settings (`user_config`)."""

from pydantic import Field

from apps.common.retrieval.settings import GeneratorArgs, RerankerArgs, StoreArgs
from apps.common.settings import Arguments, EmbedderArgs, PipelineArgs


class RagArgs(PipelineArgs):
    """Arguments of `apps.rag.app:build_app`."""

    index: str = Field(default="index", description="folder of the prepared index below the data folder")
    embedder: EmbedderArgs = EmbedderArgs()
    store: StoreArgs = StoreArgs()
    reranker: RerankerArgs = RerankerArgs()
    generator: GeneratorArgs = GeneratorArgs()


class IngressSettings(Arguments):
    """Live settings of the Ingress; `revision` is only shown, so that a change is visible."""

    revision: str = Field(default="1", max_length=100)
    top_k: int = Field(default=4, ge=1, le=20, description="sources of an answer")
    candidates: int = Field(default=24, ge=1, le=200, description="passages that the reranker sees")
