"""Typed arguments of the application (`args` in serve.yaml) and its live settings (`user_config`)."""

from typing import Literal, Self

from pydantic import Field, model_validator

from apps.common.settings import Arguments, Device, EmbedderArgs, LimitArgs, PipelineArgs


class ReaderArgs(Arguments):
    """Bounds of the short-lived process that opens a file; a file that needs more is refused with 422."""

    pages: int = Field(default=100, ge=1, le=1000, description="a document with more is refused")
    characters: int = Field(default=400_000, ge=1000, le=2_000_000, description="of the whole document")
    image_pixels: int = Field(
        default=50_000_000, ge=10_000, description="a PNG that says more in its header is refused"
    )
    render_dpi: int = Field(default=200, ge=72, le=400, description="of a page that is read by OCR")
    render_pixels: int = Field(
        default=8_000_000, ge=100_000, le=40_000_000, description="larger pages are rendered smaller"
    )
    processes: int = Field(default=1, ge=1, le=64, description="that read at once in one replica")
    memory_mb: int = Field(default=1024, ge=256, le=16_384, description="address space of the process")
    cpu_s: int = Field(
        default=20, ge=1, le=600, description="CPU seconds of one call: a page of OCR or a slice of text"
    )
    wall_s: float = Field(default=60, gt=0, le=3600, description="seconds of one call, whatever it waits for")


class NerArgs(Arguments):
    """`zero-shot`: rules and an encoder's nearest examples; `transformer`: rules and a BERT with a label per token."""

    kind: Literal["zero-shot", "transformer"] = "zero-shot"
    embedder: EmbedderArgs = EmbedderArgs(max_tokens=32)
    model: str = Field(
        default="ner", description="transformer: folder below the models folder, by apps.common.onnx_bert"
    )
    threads: int = Field(default=1, ge=1, le=64, description="transformer")
    device: Device = Field(default="cpu", description="transformer: where it runs")


class ExtractorArgs(Arguments):
    """`rules`: labels and tables by geometry; `vllm`: a language model in this replica; `openai`: behind a server."""

    kind: Literal["rules", "vllm", "openai"] = "rules"
    model: str = Field(default="default", description="vllm: folder or name of the weights; openai: name at the server")
    tensor_parallel_size: int = Field(default=1, ge=1, le=64, description="vllm: GPUs of one replica")
    max_model_len: int = Field(default=16_384, ge=512, description="vllm: tokens of prompt and answer")
    gpu_memory_utilization: float = Field(default=0.9, gt=0, le=1, description="vllm")
    base_url: str | None = Field(default=None, description="openai: for example http://vllm:8000/v1")
    api_key_variable: str = Field(default="OPENAI_API_KEY", description="openai: environment variable with the key")
    timeout_s: float = Field(default=60, gt=0, le=600, description="openai")
    max_retries: int = Field(default=2, ge=0, le=10, description="openai")
    max_tokens: int = Field(default=2048, ge=64, le=32_768, description="of a model's answer")
    prompt_characters: int = Field(
        default=24_000, ge=500, le=400_000, description="the document is cut here for a model"
    )

    @model_validator(mode="after")
    def _server_is_named(self) -> Self:
        if self.kind == "openai" and not self.base_url:
            raise ValueError("base_url: kind openai needs the address of a server, for example http://vllm:8000/v1")
        return self


class DocumentArgs(PipelineArgs):
    """Arguments of `apps.document_intelligence.app:build_app`."""

    # A document is larger and takes longer than a question: 20 MB, a minute; 2 x 8 of them at most in memory.
    limits: LimitArgs = LimitArgs(
        body_bytes=20_000_000, body_timeout_s=30, in_flight=8, default_timeout_s=60, longest_timeout_s=300
    )
    reader: ReaderArgs = ReaderArgs()
    ner: NerArgs = NerArgs()
    classifier: EmbedderArgs = EmbedderArgs()
    extractor: ExtractorArgs = ExtractorArgs()


class IngressSettings(Arguments):
    """Live settings of the Ingress; `revision` is only shown, so that a change is visible."""

    revision: str = Field(default="1", max_length=100)
    pages_in_flight: int = Field(default=4, ge=1, le=32, description="pages of one document that are read at once")
    bytes_in_flight: int = Field(
        default=32_000_000,
        ge=1_000_000,
        description="of one document: a page carries it whole, so large ones go slower",
    )


class NerSettings(Arguments):
    """Live settings of the Ner."""

    least_confidence: float = Field(default=0.5, ge=0, le=1, description="entities below are left out")


class ClassifierSettings(Arguments):
    """Live settings of the Classifier. The score of a kind is a weighted sum of nearness and cues."""

    temperature: float = Field(default=0.05, gt=0, le=10, description="of the softmax over the scores of the kinds")
    cue_weight: float = Field(default=0.15, ge=0, le=1, description="of the words that are typical of a kind")
    least_confidence: float = Field(default=0.35, ge=0, le=1, description="below it the kind is `other`")


class ExtractorSettings(Arguments):
    """Live settings of the Extractor."""

    slash_dates: Literal["day-first", "month-first"] = Field(default="day-first", description="how 03/04/2026 is read")
