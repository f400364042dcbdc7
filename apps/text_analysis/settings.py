"""Typed arguments of the application (`args` in serve.yaml) and its live settings (`user_config`)."""

from pydantic import Field

from apps.common.settings import Arguments, EmbedderArgs, PipelineArgs


class TextAnalysisArgs(PipelineArgs):
    """Arguments of `apps.text_analysis.app:build_app`."""

    # Half of what the model takes: a sentence of more tokens is rare, and its first 128 say what it is about.
    embedder: EmbedderArgs = EmbedderArgs(max_tokens=128)


class IngressSettings(Arguments):
    """Live settings of the Ingress; `revision` is only shown, so that a change is visible."""

    revision: str = Field(default="1", max_length=100)
    sentences: int = Field(default=3, ge=1, le=10, description="length of a summary, when the request does not say")
    branch_timeout_ms: float = Field(
        default=10_000, ge=1, le=600_000, description="a branch that takes longer is left out"
    )
    batch_concurrency: int = Field(default=4, ge=1, le=64, description="texts of one batch that are analysed at once")


class SummarySettings(Arguments):
    """Live settings of the Summary."""

    most_sentences: int = Field(default=200, ge=10, le=2000, description="of a longer text, so many are compared")
    duplicate_cosine: float = Field(default=0.9, gt=0, le=1, description="this near, two sentences say the same")
    batch: int = Field(default=16, ge=1, le=512, description="sentences that the encoder takes at once")
