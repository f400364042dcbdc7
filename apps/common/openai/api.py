"""Bodies of requests and answers, by OpenAI's reference, for those who serve models and those who route to them.

Events of streams are written with what was set (`exclude_unset`): a field without a default is always there, others
where they say something.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from apps.common.http import StrictRequest

# OpenAI's own bounds: items of a request, and about 8192 tokens of text to embed.
MOST_INPUTS = 2048
TEXT_CHARACTERS = 32_768
MOST_TOKENS = 8192
MOST_MESSAGES, MOST_STOPS = 2048, 4
NAME_CHARACTERS = 200


def check_utf8(text: str) -> str:
    """Return `text`; half of a surrogate pair, which JSON can carry and UTF-8 cannot, is refused."""
    if not _is_utf8(text):
        raise _bad("has half of a surrogate pair")
    return text


def check_inputs(given: Any) -> Any:
    """Return `given` if it is a text, a list of texts, a list of token ids, or a list of such lists.

    Raises:
        PydanticCustomError: it is not; the message names the item.
    """
    if isinstance(given, str):
        check_text(given, "the text")
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
            check_text(item, f"item {number}")
        elif not texts and isinstance(item, list):
            _check_ids(item, f"item {number}")
        else:
            raise _bad(f"item {number} must be a {'text like the first' if texts else 'text or a list of token ids'}")
    return given


def check_text(text: str, where: str) -> None:
    """Refuse a text that is empty, too long to embed, or no UTF-8; `where` begins the message."""
    if not 0 < len(text) <= TEXT_CHARACTERS:
        raise _bad(f"{where} must have 1 to {TEXT_CHARACTERS} characters, not {len(text)}")
    if not _is_utf8(text):
        raise _bad(f"{where} has half of a surrogate pair")


def as_items(given: str | list[str] | list[int] | list[list[int]]) -> list[str] | list[list[int]]:
    """Return the items of an `input`; a text or a list of token ids is one item."""
    if isinstance(given, str):
        return [given]
    return [given] if isinstance(given[0], int) else given


def _is_utf8(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _check_ids(ids: list[Any], where: str) -> None:
    if not 0 < len(ids) <= MOST_TOKENS:
        raise _bad(f"{where} must have 1 to {MOST_TOKENS} token ids, not {len(ids)}")
    for place in ids:
        if type(place) is not int or not 0 <= place < 2**31:
            raise _bad(f"{where} must hold token ids only")


def _bad(message: str) -> PydanticCustomError:
    return PydanticCustomError("input", "{message}", {"message": message})


Utf8 = Annotated[str, AfterValidator(check_utf8)]
Name = Annotated[str, Field(min_length=1, max_length=NAME_CHARACTERS), AfterValidator(check_utf8)]
Inputs = Annotated[str | list[str] | list[int] | list[list[int]], BeforeValidator(check_inputs)]
Stop = Annotated[Utf8, Field(min_length=1, max_length=1000)]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]


class StreamOptions(BaseModel):
    """What a stream carries beside the text."""

    model_config = ConfigDict(extra="forbid", strict=True)

    include_usage: bool | None = Field(default=None, description="a last event with the usage of the whole request")
    include_obfuscation: bool | None = Field(default=None, description="taken; nothing is padded here")


class ContentPart(BaseModel):
    """A part of a message; what its `type` brings along (image_url, input_audio, ...) is kept as it is."""

    model_config = ConfigDict(extra="allow", strict=True)

    type: Name
    text: Utf8 | None = None


class Message(BaseModel):
    """One message of a chat, or an answer of before that a client sends back as it got it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    role: Literal["developer", "system", "user", "assistant", "tool", "function"]
    content: Utf8 | list[ContentPart] | None = None
    name: Name | None = None
    refusal: Utf8 | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: Name | None = None
    function_call: dict[str, Any] | None = None
    annotations: list[dict[str, Any]] | None = None
    audio: dict[str, Any] | None = None
    reasoning_content: Utf8 | None = None


class Sampling(StrictRequest):
    """What chat completions and completions have in common."""

    model: Name
    max_tokens: int | None = Field(default=None, ge=1, le=10_000_000)
    stop: Stop | Annotated[list[Stop], Field(max_length=MOST_STOPS)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = Field(default=None, ge=1, le=128)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    logit_bias: dict[str, float] | None = None
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    user: Utf8 | None = Field(default=None, max_length=NAME_CHARACTERS)

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop sequences as a tuple, empty without one."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with the usage."""
        return bool(self.stream_options and self.stream_options.include_usage)


class ChatRequest(Sampling):
    """`POST /v1/chat/completions`; every field of OpenAI's reference has a place, unknown ones are errors."""

    messages: list[Message] = Field(min_length=1, max_length=MOST_MESSAGES)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=10_000_000)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    response_format: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    functions: list[dict[str, Any]] | None = None
    function_call: str | dict[str, Any] | None = None
    modalities: list[str] | None = None
    audio: dict[str, Any] | None = None
    prediction: dict[str, Any] | None = None
    moderation: dict[str, Any] | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None
    web_search_options: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: str | None = None


class CompletionRequest(Sampling):
    """`POST /v1/completions`; the older one, which continues a text."""

    prompt: Inputs
    suffix: str | None = None
    echo: bool | None = None
    best_of: int | None = Field(default=None, ge=1, le=20)
    logprobs: int | None = Field(default=None, ge=0, le=5)


class EmbeddingsRequest(StrictRequest):
    """`POST /v1/embeddings`: what to embed, with which model."""

    input: Inputs
    model: str = Field(min_length=1, max_length=NAME_CHARACTERS)
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(default=None, ge=1, le=8192, description="the first ones only, at length 1 again")
    user: str | None = Field(default=None, max_length=NAME_CHARACTERS, description="taken and not used")


class RoutedRequest(BaseModel):
    """What a router of models reads of a body that it passes on as it is."""

    model_config = ConfigDict(extra="allow", strict=True)

    model: Name
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: Utf8 | None = Field(default=None, max_length=NAME_CHARACTERS)


# Values that ask for nothing: a client that writes them out gets the same as one that leaves the field away.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "response_format": ({"type": "text"},),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "parallel_tool_calls": (True, False),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "modalities": (["text"],),
    "suffix": ("",),
    "echo": (False,),
    "store": (False,),
    "service_tier": ("auto", "default"),
}


def asked_for(body: Sampling) -> set[str]:
    """Return the fields of `body` that ask for something else than the default."""
    given = {name: getattr(body, name) for name in body.model_fields_set}
    return {name for name, value in given.items() if value is not None and not _is_neutral(name, value)}


def _is_neutral(name: str, value: Any) -> bool:
    # By type as well: for Python 0 is False, and `logprobs: 0` of a completion asks for the token's own.
    return any(value == each and isinstance(value, bool) == isinstance(each, bool) for each in NEUTRAL.get(name, ()))


class PromptTokensDetails(BaseModel):
    """Of the tokens of a prompt."""

    cached_tokens: int


class Usage(BaseModel):
    """Tokens read and written; embeddings have no completion."""

    prompt_tokens: int
    total_tokens: int
    completion_tokens: int = 0
    prompt_tokens_details: PromptTokensDetails | None = None


class Answer(BaseModel):
    """What every answer of a language model says of itself. created: seconds since 1970."""

    id: str
    created: int
    model: str
    system_fingerprint: str | None


class AnswerMessage(BaseModel):
    """The message of an answer."""

    role: Literal["assistant"]
    content: str | None
    refusal: str | None


class ChatChoice(BaseModel):
    """The one answer to a chat."""

    index: int
    message: AnswerMessage
    logprobs: None
    finish_reason: FinishReason


class ChatCompletion(Answer):
    """Answer of `POST /v1/chat/completions`."""

    object: Literal["chat.completion"]
    choices: list[ChatChoice]
    usage: Usage


class Delta(BaseModel):
    """What an event adds to the message."""

    role: Literal["assistant"] | None = None
    content: str | None = None


class ChunkChoice(BaseModel):
    """The part of the one answer that an event carries."""

    index: int
    delta: Delta
    logprobs: None
    finish_reason: FinishReason | None


class ChatChunk(Answer):
    """One event of a streamed chat; the last one has no choice and the usage, where that was asked for."""

    object: Literal["chat.completion.chunk"]
    choices: list[ChunkChoice]
    usage: Usage | None = None


class TextChoice(BaseModel):
    """The one continuation of a prompt, or an event's part of it."""

    index: int
    text: str
    logprobs: None
    finish_reason: FinishReason | None


class Completion(Answer):
    """Answer of `POST /v1/completions`, and one event of a streamed one."""

    object: Literal["text_completion"]
    choices: list[TextChoice]
    usage: Usage | None = None


class EmbeddingOut(BaseModel):
    """One vector: numbers, or little-endian float32 in base64."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingsUsage(BaseModel):
    """Tokens that a model read."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsAnswer(BaseModel):
    """The vectors, in the order of the input."""

    object: Literal["list"] = "list"
    data: list[EmbeddingOut]
    model: str
    usage: EmbeddingsUsage


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
