"""What the arguments (`args` in serve.yaml) and live settings (`user_config`) of every pipeline have in common."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from apps.common.guard import GuardLimits

# Where an ONNX model runs. Said, never guessed: a replica that asked Ray for a GPU must not run on the CPU unseen.
Device = Literal["cpu", "cuda"]


class Arguments(BaseModel):
    """Base of everything a user writes: an unknown name is an error, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class EmbedderArgs(Arguments):
    """The text encoder of a replica."""

    model: str = Field(default="all-minilm-l6-v2", description="folder below the models folder")
    threads: int = Field(default=1, ge=1, le=64)
    max_tokens: int = Field(default=256, ge=8, le=512, description="longer texts are cut")
    device: Device = Field(default="cpu", description="cuda needs onnxruntime-gpu, as in the image pipeline-gpu")


class LimitArgs(Arguments):
    """Bounds of one ingress replica."""

    body_bytes: int = Field(default=1_000_000, ge=1024, le=100_000_000)
    body_timeout_s: float = Field(default=10, gt=0, le=600)
    in_flight: int = Field(default=128, ge=1, le=100_000)
    retry_after_s: float = Field(default=1, ge=1, le=600)
    default_timeout_s: float = Field(default=30, gt=0, le=600)
    longest_timeout_s: float = Field(default=120, gt=0, le=3600)

    def guard(self, media_types: tuple[str, ...]) -> GuardLimits:
        """Return the part that the middleware enforces, for an ingress that takes bodies of these types."""
        return GuardLimits(self.body_bytes, self.body_timeout_s, self.in_flight, self.retry_after_s, media_types)


class PipelineArgs(Arguments):
    """Base of the arguments of every application builder: each has a default that runs in the pipeline image."""

    models: Path | None = Field(
        default=None, description="folder of exported models; else PIPELINE_MODELS, else /srv/models"
    )
    data: Path | None = Field(default=None, description="folder of prepared data; else PIPELINE_DATA, else /srv/data")
    limits: LimitArgs = LimitArgs()
