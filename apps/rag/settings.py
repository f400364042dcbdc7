"""Typed arguments of the application (`args` in serve.yaml) and its live settings (`user_config`)."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from apps.common.guard import GuardLimits


class Arguments(BaseModel):
    """Base of everything a user writes: an unknown name is an error, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class EmbedderArgs(Arguments):
    """The text encoder of the Retriever."""

    model: str = Field(default="all-minilm-l6-v2", description="folder below the models folder")
    threads: int = Field(default=1, ge=1, le=64)
    max_tokens: int = Field(default=256, ge=8, le=512, description="longer texts are cut")


class StoreArgs(Arguments):
    """Where vectors live: `lancedb` in the VectorStore's replica, `postgres` in a server with pgvector."""

    kind: Literal["lancedb", "postgres"] = "lancedb"
    path: Path | None = Field(
        default=None, description="lancedb: a folder that outlives the replica; absent: a temporary one"
    )
    dsn_variable: str = Field(
        default="RAG_POSTGRES_DSN", description="postgres: environment variable with the connection string"
    )
    table: str = Field(default="rag_chunks", pattern=r"^[a-z_][a-z0-9_]{0,40}$")


class RerankerArgs(Arguments):
    """`hybrid` mixes the embedding score with a lexical one; `cross-encoder` reads question and passage together."""

    kind: Literal["hybrid", "cross-encoder"] = "hybrid"
    model: str = Field(default="cross-encoder", description="cross-encoder: folder below the models folder")
    threads: int = Field(default=1, ge=1, le=64)


class GeneratorArgs(Arguments):
    """`extractive` answers with sentences of the sources; `openai` asks a server that speaks the OpenAI protocol."""

    kind: Literal["extractive", "openai"] = "extractive"
    base_url: str | None = Field(default=None, description="openai: for example http://vllm:8000/v1")
    model: str = "default"
    api_key_variable: str = Field(default="OPENAI_API_KEY", description="openai: environment variable with the key")
    timeout_s: float = Field(default=60, gt=0, le=600)
    max_retries: int = Field(default=2, ge=0, le=10)
    max_tokens: int = Field(default=512, ge=1, le=8192)


class LimitArgs(Arguments):
    """Bounds of one ingress replica."""

    body_bytes: int = Field(default=1_000_000, ge=1024, le=100_000_000)
    body_timeout_s: float = Field(default=10, gt=0, le=600)
    in_flight: int = Field(default=128, ge=1, le=100_000)
    retry_after_s: float = Field(default=1, ge=1, le=600)
    default_timeout_s: float = Field(default=30, gt=0, le=600)
    longest_timeout_s: float = Field(default=120, gt=0, le=3600)

    def guard(self) -> GuardLimits:
        """Return the part that the middleware enforces."""
        return GuardLimits(self.body_bytes, self.body_timeout_s, self.in_flight, self.retry_after_s)


class RagArgs(Arguments):
    """Arguments of `apps.rag.app:build_app`; each has a default that runs in the pipeline image."""

    models: Path | None = Field(
        default=None, description="folder of exported models; else PIPELINE_MODELS, else /srv/models"
    )
    data: Path | None = Field(default=None, description="folder of prepared data; else PIPELINE_DATA, else /srv/data")
    index: str = Field(default="index", description="folder of the prepared index below the data folder")
    embedder: EmbedderArgs = EmbedderArgs()
    store: StoreArgs = StoreArgs()
    reranker: RerankerArgs = RerankerArgs()
    generator: GeneratorArgs = GeneratorArgs()
    limits: LimitArgs = LimitArgs()


class IngressSettings(Arguments):
    """Live settings of the Ingress; `revision` is only shown, so that a change is visible."""

    revision: str = Field(default="1", max_length=100)
    top_k: int = Field(default=4, ge=1, le=20, description="sources of an answer")
    candidates: int = Field(default=24, ge=1, le=200, description="passages that the reranker sees")


class RetrieverSettings(Arguments):
    """Live settings of the Retriever's batching; a block is 128 padded tokens."""

    batch_blocks: int = Field(default=32, ge=4, le=4096)
    batch_wait_ms: float = Field(default=1, ge=0, le=1000)


class RerankerSettings(Arguments):
    """Live weights of the hybrid score; only their ratio matters."""

    embedding_weight: float = Field(default=1.0, ge=0, le=100)
    lexical_weight: float = Field(default=0.5, ge=0, le=100)


class GeneratorSettings(Arguments):
    """Live settings of the extractive generator."""

    sentences: int = Field(default=3, ge=1, le=10)
