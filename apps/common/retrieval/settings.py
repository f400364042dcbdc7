"""Arguments and live settings of the parts of the search, shared by the pipelines that cite sources."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from apps.common.settings import Arguments, Device


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
    read_only: bool = Field(
        default=False,
        description="requests add nothing (403): with lancedb all replicas then hold the same, what is in the image",
    )

    @model_validator(mode="after")
    def _made_from_the_image(self) -> Self:
        if self.read_only and self.path is not None:
            raise ValueError("path: a read-only store is made from the image at each start; leave path out")
        return self


class RerankerArgs(Arguments):
    """`hybrid` mixes the embedding score with a lexical one; `cross-encoder` reads question and passage together."""

    kind: Literal["hybrid", "cross-encoder"] = "hybrid"
    model: str = Field(default="cross-encoder", description="cross-encoder: folder below the models folder")
    threads: int = Field(default=1, ge=1, le=64)
    device: Device = Field(default="cpu", description="cross-encoder: where it runs")


class GeneratorArgs(Arguments):
    """`extractive` answers with sentences of the sources; `openai` asks a server that speaks the OpenAI protocol."""

    kind: Literal["extractive", "openai"] = "extractive"
    base_url: str | None = Field(default=None, description="openai: for example http://vllm:8000/v1")
    model: str = "default"
    api_key_variable: str = Field(default="OPENAI_API_KEY", description="openai: environment variable with the key")
    timeout_s: float = Field(default=60, gt=0, le=600)
    max_retries: int = Field(default=2, ge=0, le=10)
    max_tokens: int = Field(default=512, ge=1, le=8192)


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
