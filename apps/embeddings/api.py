"""Bodies of requests and answers. The names of `/v1` are OpenAI's, so that its clients work unchanged."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from apps.common.http import StrictRequest
from apps.embeddings.zero_shot import Label

# OpenAI's own bounds: items of a request, and about 8192 tokens of text.
MOST_INPUTS = 2048
TEXT_CHARACTERS = 32_768
MOST_TOKENS = 8192
MOST_TEXTS, MOST_LABELS = 64, 50
NAME_CHARACTERS = 200


def check_inputs(given: Any) -> Any:
    """Return `given` if it is a text, a list of texts, a list of token ids, or a list of such lists.

    Raises:
        PydanticCustomError: it is not; the message names the item.
    """
    if isinstance(given, str):
        _check_text(given, "the text")
        return given
    if not isinstance(given, list) or not given:
        raise _bad("must be a text, a list of texts, a list of token ids, or a list of such lists, and not empty")
    if type(given[0]) is int:
        _check_ids(given, "the list")
        return given
    if len(given) > MOST_INPUTS:
        raise _bad(f"has {len(given)} items; {MOST_INPUTS} are the most")
    texts = isinstance(given[0], str)
    for number, item in enumerate(given):
        if texts and isinstance(item, str):
            _check_text(item, f"item {number}")
        elif not texts and isinstance(item, list):
            _check_ids(item, f"item {number}")
        else:
            raise _bad(f"item {number} must be a {'text like the first' if texts else 'text or a list of token ids'}")
    return given


def _check_text(text: str, where: str) -> None:
    if not 0 < len(text) <= TEXT_CHARACTERS:
        raise _bad(f"{where} must have 1 to {TEXT_CHARACTERS} characters, not {len(text)}")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise _bad(f"{where} has half of a surrogate pair")


def _check_ids(ids: list[Any], where: str) -> None:
    if not 0 < len(ids) <= MOST_TOKENS:
        raise _bad(f"{where} must have 1 to {MOST_TOKENS} token ids, not {len(ids)}")
    for place in ids:
        if type(place) is not int or not 0 <= place < 2**31:
            raise _bad(f"{where} must hold token ids only")


def _bad(message: str) -> PydanticCustomError:
    return PydanticCustomError("input", "{message}", {"message": message})


Inputs = Annotated[str | list[str] | list[int] | list[list[int]], BeforeValidator(check_inputs)]


def check_text(given: Any) -> Any:
    """Return `given`; a text that cannot be written as UTF-8 or has a wrong length is refused."""
    if isinstance(given, str):
        _check_text(given, "the text")
    return given


Text = Annotated[str, StringConstraints(min_length=1, max_length=TEXT_CHARACTERS), BeforeValidator(check_text)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=NAME_CHARACTERS), BeforeValidator(check_text)]


class EmbeddingsRequest(StrictRequest):
    """What to embed, with which model."""

    input: Inputs
    model: str = Field(min_length=1, max_length=NAME_CHARACTERS)
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(default=None, ge=1, le=8192, description="the first ones only, at length 1 again")
    user: str | None = Field(default=None, max_length=NAME_CHARACTERS, description="taken and not used")


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


class EmbeddingOut(BaseModel):
    """One vector: numbers, or little-endian float32 in base64."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class Usage(BaseModel):
    """Tokens that the model read."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsAnswer(BaseModel):
    """The vectors, in the order of the input."""

    object: Literal["list"] = "list"
    data: list[EmbeddingOut]
    model: str
    usage: Usage


class ModelOut(BaseModel):
    """One model. `created` is 0: when a model was made is not known."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "rayops"


class ModelsAnswer(BaseModel):
    """Every model; their aliases are not listed."""

    object: Literal["list"] = "list"
    data: list[ModelOut]


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
