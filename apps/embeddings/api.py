"""Bodies of requests and answers. The names of `/v1` are OpenAI's, so that its clients work unchanged."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from apps.common.http import StrictRequest
from apps.common.openai.api import (
    NAME_CHARACTERS,
    TEXT_CHARACTERS,
    EmbeddingsAnswer,
    EmbeddingsRequest,
    ModelOut,
    ModelsAnswer,
    check_text,
)
from apps.embeddings.zero_shot import Label

# The part that is OpenAI's, by the names under which the endpoint's other files know it.
__all__ = ["EmbeddingsAnswer", "EmbeddingsRequest", "ModelOut", "ModelsAnswer"]

MOST_TEXTS, MOST_LABELS = 64, 50


def check_utf8_text(given: Any) -> Any:
    """Return `given`; a text that cannot be written as UTF-8 or has a wrong length is refused."""
    if isinstance(given, str):
        check_text(given, "the text")
    return given


Text = Annotated[str, StringConstraints(min_length=1, max_length=TEXT_CHARACTERS), BeforeValidator(check_utf8_text)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=NAME_CHARACTERS), BeforeValidator(check_utf8_text)]


class LabelIn(BaseModel):
    """A label; the description tells the model more than the name does."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Name
    description: Text | None = Field(default=None, max_length=500)


class ClassifyRequest(StrictRequest):
    """Texts, and the labels to choose from."""

    texts: list[Text] = Field(min_length=1, max_length=MOST_TEXTS)
    labels: list[Name | LabelIn] = Field(min_length=2, max_length=MOST_LABELS)
    multi_label: bool = Field(default=False, description="each label on its own: any number of them may hold")
    temperature: float | None = Field(
        default=None, ge=0.001, le=10, description="smaller: surer; the live setting if absent"
    )

    @model_validator(mode="after")
    def _names_differ(self) -> "ClassifyRequest":
        names = [label if isinstance(label, str) else label.name for label in self.labels]
        if len(names) != len(set(names)):
            raise PydanticCustomError("labels", "labels must have names of their own")
        return self


class ScoreOut(BaseModel):
    """A label and how likely it is."""

    label: str
    probability: float


class ClassifyAnswer(BaseModel):
    """For each text its labels, likeliest first."""

    results: list[list[ScoreOut]]
    model: str
    request_id: str


def ranked(labels: list[Label], row: list[float]) -> list[ScoreOut]:
    """Return the labels with their probabilities, likeliest first."""
    pairs = sorted(zip(labels, row, strict=True), key=lambda pair: -pair[1])
    return [ScoreOut(label=label.name, probability=round(value, 6)) for label, value in pairs]
