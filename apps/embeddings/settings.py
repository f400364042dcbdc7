"""Typed arguments of the application (`args` in serve.yaml) and its live settings (`user_config`)."""

from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from apps.common.settings import Arguments, Device, PipelineArgs

ModelName = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
FP32, INT8 = "all-minilm-l6-v2", "all-minilm-l6-v2-int8"


class ModelArgs(Arguments):
    """One model of the endpoint. Any of its names in a request means it; answers carry `name`."""

    name: ModelName
    folder: str = Field(description="below the models folder")
    aliases: tuple[ModelName, ...] = ()


class EncoderArgs(Arguments):
    """How a replica runs its models."""

    threads: int = Field(default=1, ge=1, le=64, description="of one batch")
    max_tokens: int = Field(default=256, ge=8, le=512, description="longer texts are cut")
    device: Device = Field(default="cpu", description="cuda needs onnxruntime-gpu; int8 gains nothing there")
    batches_in_flight: int = Field(default=2, ge=1, le=16, description="batches of one model that run at once")


class ClassifierArgs(Arguments):
    """What the classifier compares with."""

    model: ModelName = FP32


class EmbeddingsArgs(PipelineArgs):
    """Arguments of `apps.embeddings.app:build_app`."""

    serve_models: tuple[ModelArgs, ...] = Field(
        default=(
            ModelArgs(name=FP32, folder=FP32, aliases=("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2")),
            ModelArgs(name=INT8, folder=INT8, aliases=("all-MiniLM-L6-v2-int8",)),
        ),
        min_length=1,
    )
    encoder: EncoderArgs = EncoderArgs()
    classifier: ClassifierArgs = ClassifierArgs()

    @model_validator(mode="after")
    def _names_are_clear(self) -> "EmbeddingsArgs":
        names = [name for model in self.serve_models for name in (model.name, *model.aliases)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"serve_models: {', '.join(twice)} names more than one model")
        if self.classifier.model not in names:
            raise ValueError(f"classifier.model: {self.classifier.model!r} is not in serve_models")
        return self

    def names(self) -> dict[str, str]:
        """Return the name of the model that each name and alias means."""
        return {name: model.name for model in self.serve_models for name in (model.name, *model.aliases)}


class EmbedderSettings(Arguments):
    """Live settings of the Embedder; `pace.py` says how they work together."""

    target_p95_ms: float = Field(default=400, gt=0, le=60_000, description="of one text, queueing for a batch included")
    batch_wait_ms: float = Field(default=5, ge=0, le=1000, description="the longest that a batch waits to be filled")
    batch_blocks: int = Field(default=32, ge=4, le=1024, description="the largest batch, in 128 padded tokens")


class ClassifierSettings(Arguments):
    """Live settings of the AutoscaledClassifier."""

    temperature: float = Field(default=0.05, ge=0.001, le=10, description="of a request that states none")
    threshold: float = Field(default=0.25, ge=-1, le=1, description="cosine of an even chance, with many labels")


class IngressSettings(Arguments):
    """Live settings of the Ingress; `revision` is only shown, so that a change is visible."""

    revision: str = Field(default="1", max_length=100)
