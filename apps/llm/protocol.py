"""OpenAI's protocol and the engine's words: bodies become requests, pieces become answers and events."""

import base64
import hashlib
import json
import struct
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from apps.common.openai import api, sse
from apps.common.openai.errors import bad_request
from apps.llm.engine import Piece, Request, Vectors

# Carried out by the server itself, or said for its books: no engine has to know them.
_OF_THE_SERVER = frozenset(
    {"model", "messages", "prompt", "max_tokens", "max_completion_tokens", "stop", "stream", "stream_options"}
    | {"timeout_s", "user", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_options"}
    | {"prompt_cache_retention"}
)


def chat_request(body: api.ChatRequest, model: str, request_id: str) -> Request:
    """Return what a chat asks of an engine.

    Raises:
        PipelineError: 400, it has more than one answer, a part that is no text, or two lengths.
    """
    if body.max_tokens is not None and body.max_completion_tokens not in (None, body.max_tokens):
        raise bad_request("differs from max_tokens; send one of them", "max_completion_tokens")
    for number, message in enumerate(body.messages):
        _check_message(message, f"messages.{number}")
    return Request(
        id=request_id,
        model=model,
        messages=tuple(message.model_dump(exclude_none=True) for message in body.messages),
        max_tokens=body.max_completion_tokens or body.max_tokens,
        stop=body.stops,
        fields=_fields(body),
    )


def completion_request(body: api.CompletionRequest, model: str, request_id: str) -> Request:
    """Return what a completion asks of an engine.

    Raises:
        PipelineError: 400, it has more than one answer or prompt.
    """
    prompts = api.as_items(body.prompt)
    if len(prompts) > 1:
        raise bad_request("one prompt a request; send the others as requests of their own", "prompt")
    return Request(
        id=request_id, model=model, prompt=prompts[0], max_tokens=body.max_tokens, stop=body.stops, fields=_fields(body)
    )


def _check_message(message: api.Message, where: str) -> None:
    if message.content is None and not (message.role == "assistant" and (message.tool_calls or message.refusal)):
        raise bad_request(f"a message of role {message.role} needs content", f"{where}.content")
    if isinstance(message.content, list):
        for number, part in enumerate(message.content):
            if part.type != "text" or part.text is None:
                raise bad_request(f"parts of type text only, not {part.type}", f"{where}.content.{number}")


def _fields(body: api.Sampling) -> dict[str, Any]:
    asked = api.asked_for(body) - _OF_THE_SERVER
    if "n" in asked:
        raise bad_request("one answer a request; send several requests for several", "n")
    if body.stream_options and not body.stream:
        raise bad_request("goes with stream: true only", "stream_options")
    return {name: getattr(body, name) for name in sorted(asked)}


def routing_key(body: api.ChatRequest | api.CompletionRequest, model: str, characters: int) -> str:
    """Return what requests with the same beginning have in common; empty when nothing is to be looked at.

    Of a chat that is everything up to its first user message, so that every turn of a conversation has the key of its
    first. `prompt_cache_key` says it outright.
    """
    if not characters:
        return ""
    beginning = body.prompt_cache_key if isinstance(body, api.ChatRequest) else None
    beginning = beginning or _beginning(body)[:characters]
    return hashlib.sha256(f"{model}\0{beginning}".encode(errors="replace")).hexdigest()[:32]


def _beginning(body: api.ChatRequest | api.CompletionRequest) -> str:
    if isinstance(body, api.CompletionRequest):
        return str(api.as_items(body.prompt)[0])
    roles = [message.role for message in body.messages]
    upto = roles.index("user") + 1 if "user" in roles else len(roles)
    return "\0".join(f"{message.role}\0{message.content}" for message in body.messages[:upto])


@dataclass(slots=True)
class Answering:
    """One answer in the making: the same id, time and fingerprint in all of its events."""

    model: str
    chat: bool
    include_usage: bool = False
    operation: str = ""
    fingerprint: str = ""
    id: str = ""
    created: int = field(default_factory=lambda: int(time.time()))
    prompt_tokens: int = 0
    cached_tokens: int = 0
    tokens: int = 0

    def __post_init__(self) -> None:
        self.id = f"{'chatcmpl' if self.chat else 'cmpl'}-{uuid.uuid4().hex}"
        self.operation = self.operation or ("chat" if self.chat else "completions")

    def take(self, piece: Piece) -> None:
        """Count the tokens of a piece."""
        self.prompt_tokens, self.cached_tokens = piece.prompt_tokens, piece.cached_tokens
        self.tokens += piece.tokens

    def whole(self, pieces: list[Piece]) -> api.ChatCompletion | api.Completion:
        """Return the answer of all pieces; they are counted here."""
        for piece in pieces:
            self.take(piece)
        text, finish = "".join(piece.text for piece in pieces), pieces[-1].finish or "stop"
        if self.chat:
            message = api.AnswerMessage(role="assistant", content=text, refusal=None)
            choice = api.ChatChoice(index=0, message=message, logprobs=None, finish_reason=finish)
            return api.ChatCompletion(**self._head(), object="chat.completion", choices=[choice], usage=self.usage())
        text_choice = api.TextChoice(index=0, text=text, logprobs=None, finish_reason=finish)
        return api.Completion(**self._head(), object="text_completion", choices=[text_choice], usage=self.usage())

    def events(self, piece: Piece, *, first: bool) -> bytes:
        """Return the events of a piece; of the last one the end of the stream as well."""
        self.take(piece)
        return b"".join(sse.data(event) for event in self._of(piece, first)) + (sse.DONE if piece.finish else b"")

    def _of(self, piece: Piece, first: bool) -> Iterator[api.ChatChunk | api.Completion]:
        if not self.chat:
            yield self._text(piece)
        else:
            if first:
                yield self._chunk(api.Delta(role="assistant", content=""), None)
            if piece.text:
                yield self._chunk(api.Delta(content=piece.text), None)
            if piece.finish:
                yield self._chunk(api.Delta(), piece.finish)
        if piece.finish and self.include_usage:
            yield self._last()

    def _chunk(self, delta: api.Delta, finish: api.FinishReason | None) -> api.ChatChunk:
        choice = api.ChunkChoice(index=0, delta=delta, logprobs=None, finish_reason=finish)
        return api.ChatChunk(**self._head(), object="chat.completion.chunk", choices=[choice], **self._no_usage())

    def _text(self, piece: Piece) -> api.Completion:
        choice = api.TextChoice(index=0, text=piece.text, logprobs=None, finish_reason=piece.finish)
        return api.Completion(**self._head(), object="text_completion", choices=[choice], **self._no_usage())

    def _last(self) -> api.ChatChunk | api.Completion:
        if self.chat:
            return api.ChatChunk(**self._head(), object="chat.completion.chunk", choices=[], usage=self.usage())
        return api.Completion(**self._head(), object="text_completion", choices=[], usage=self.usage())

    def _no_usage(self) -> dict[str, Any]:
        # Null in every event but the last, where usage was asked for; else the field is not there.
        return {"usage": None} if self.include_usage else {}

    def _head(self) -> dict[str, Any]:
        head = {"id": self.id, "created": self.created, "model": self.model}
        return {**head, "system_fingerprint": self.fingerprint or None}

    def usage(self) -> api.Usage:
        """Return the tokens so far."""
        return api.Usage(
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.tokens,
            total_tokens=self.prompt_tokens + self.tokens,
            prompt_tokens_details=api.PromptTokensDetails(cached_tokens=self.cached_tokens),
        )


def vectors_json(found: Vectors, model: str, encoding: str) -> bytes:
    """Return the body of an answer with vectors: numbers, or little-endian float32 in base64."""
    rows: list[Any] = found.rows
    if encoding == "base64":
        rows = [base64.b64encode(struct.pack(f"<{len(row)}f", *row)).decode() for row in found.rows]
    data = [{"object": "embedding", "index": number, "embedding": row} for number, row in enumerate(rows)]
    usage = {"prompt_tokens": found.tokens, "total_tokens": found.tokens}
    return json.dumps({"object": "list", "data": data, "model": model, "usage": usage}).encode()
