"""Typed arguments of the application (`args` in serve.yaml) and its live settings (`user_config`)."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from apps.common.retrieval.settings import GeneratorArgs, RerankerArgs
from apps.common.settings import Arguments, EmbedderArgs, PipelineArgs


class CorpusArgs(Arguments):
    """Which documents of the prepared index are runbooks."""

    index: str = Field(default="index", description="folder of the prepared index below the data folder")
    prefix: str = Field(
        default="base/observability/runbooks/", max_length=300, description="the names of runbooks begin with this"
    )
    leave_out: tuple[str, ...] = Field(default=("References",), description="sections that answer nothing")


class WarmUpArgs(Arguments):
    """A real question, asked of every part before its replica is ready."""

    question: str = Field(
        default="Requests are refused with 503 Service Unavailable, the queue is full", min_length=1, max_length=2000
    )
    least_similarity: float = Field(
        default=0.35, ge=-1, le=1, description="cosine that its nearest passage must have, else the index is not ours"
    )
    timeout_s: float = Field(default=60, gt=0, le=600, description="seconds for the generator's first answer")


class VllmArgs(Arguments):
    """A vLLM server that each AnswerGenerator starts for itself, on its own GPU."""

    arguments: tuple[str, ...] = Field(default=(), description="of the server, for example --max-model-len 8192")
    start_timeout_s: float = Field(default=600, gt=0, le=3600, description="seconds for loading the weights")


class AnswerArgs(GeneratorArgs):
    """`openai` asks the server at `base_url`, or with `server` one that the replica starts; `model` are its weights."""

    server: VllmArgs | None = None

    @model_validator(mode="after")
    def _one_server(self) -> Self:
        if self.server is not None and (self.kind != "openai" or self.base_url is not None):
            raise ValueError("server: needs kind openai and no base_url, the replica starts the server and asks it")
        if self.kind == "openai" and self.server is None and self.base_url is None:
            raise ValueError("base_url: kind openai needs the address of a server (http://vllm:8000/v1), or server: {}")
        return self


class FeedbackArgs(Arguments):
    """Where feedback lies, and how many answers can be judged."""

    path: Path | None = Field(
        default=None, description="a file (JSON lines) that outlives the replica; absent: in memory, lost with it"
    )
    keep_answers: int = Field(default=10_000, ge=1, le=1_000_000, description="the oldest are forgotten")


class SupportArgs(PipelineArgs):
    """Arguments of `apps.support_assistant.app:build_app`."""

    corpus: CorpusArgs = CorpusArgs()
    embedder: EmbedderArgs = EmbedderArgs()
    reranker: RerankerArgs = RerankerArgs()
    generator: AnswerArgs = AnswerArgs()
    warm_up: WarmUpArgs = WarmUpArgs()
    feedback: FeedbackArgs = FeedbackArgs()


class IngressSettings(Arguments):
    """Live settings of the Ingress; `revision` is only shown, so that a change is visible."""

    revision: str = Field(default="1", max_length=100)
    top_k: int = Field(default=3, ge=1, le=20, description="sections of an answer, besides those that it quotes")
    runbooks: int = Field(default=8, ge=1, le=50, description="runbooks that the reranker sees, whole")
    least_similarity: float = Field(
        default=0.38, ge=-1, le=1, description="cosine below which no passage counts as fitting"
    )
