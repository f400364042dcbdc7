"""Asking one backend once: a whole answer, or a stream from its first byte on."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import httpx
from starlette.datastructures import Headers

from apps.common.deadline import Deadline
from apps.common.errors import deadline_exceeded, overloaded
from apps.common.openai.errors import bad_request
from apps.gateway import headers
from apps.gateway.failures import BackendError, refusal, too_late, unavailable
from apps.gateway.routing import Attempt
from apps.gateway.settings import Backend, Route

CONNECT_S = 2.0
KEEP_ALIVE_S = 30.0
# More would not help: httpcore 1.0 looks at every one of them for each request.
_IDLE = 32
_ERROR_BYTES = 65_536
# The connection was one of before that the backend has given up, or it broke before an answer: it is asked once more.
_NO_ANSWER_YET = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it goes on.

    Args:
        path: below the backend's URL.
        content: the JSON body, given the backend's name of the model.
        headers: of the client.
        whole: the answer is generated before it begins: its first byte takes as long as all of it.
    """

    path: str
    content: Callable[[str], bytes]
    headers: Headers
    request_id: str
    deadline: Deadline
    whole: bool = False

    def patience_s(self, route: Route) -> float:
        """Return how long to wait for the first byte."""
        return route.timeout_s if self.whole else route.first_byte_timeout_s


@dataclass(slots=True)
class Opened:
    """An answer whose beginning is there; to be closed. until: when it must have ended."""

    response: httpx.Response
    first: bytes
    pieces: AsyncGenerator[bytes, None]
    until: Deadline

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the bytes as they come.

        Raises:
            TimeoutError: the time of the request or of its route is over.
            httpx.TransportError: the backend broke off.
        """
        yield self.first
        async for piece in self.until.within(self.pieces):
            yield piece

    async def close(self) -> None:
        """Give the connection back, or close it when there is more to come: the backend sees that at once."""
        await self.pieces.aclose()
        await self.response.aclose()


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole answer."""

    response: httpx.Response
    content: bytes


class Backends:
    """The connections to all backends, at most `connections` at once; they belong to the first request's event loop.

    Args:
        connections: at once.
        answer_bytes: of the largest answer that is no stream.
        key_of: the gateway's own key for a backend, or None.
    """

    def __init__(self, connections: int, answer_bytes: int, key_of: Callable[[Backend], str | None]):
        self._connections = connections
        self._answer_bytes = answer_bytes
        self._key_of = key_of
        self._made: httpx.AsyncClient | None = None

    @property
    def client(self) -> httpx.AsyncClient:
        """The pool of connections."""
        if self._made is None:
            bounds = httpx.Limits(
                max_connections=self._connections,
                max_keepalive_connections=_IDLE,
                keepalive_expiry=KEEP_ALIVE_S,
            )
            # The requests bring their own times. No proxy of the environment: backends are named by their addresses.
            times = httpx.Timeout(None, connect=CONNECT_S, pool=CONNECT_S)
            self._made = httpx.AsyncClient(limits=bounds, timeout=times, trust_env=False)
        return self._made

    async def open(self, attempt: Attempt, asked: Asked) -> Opened:
        """Return an answer whose first byte is there.

        Raises:
            BackendError: none came; another backend may be asked.
            PipelineError: the backend refused the client's request, or the request's time is over.
        """
        until = Deadline.after(min(asked.deadline.remaining(), attempt.route.timeout_s))
        seconds = min(until.remaining(), asked.patience_s(attempt.route))
        return await _guarded(self._open(attempt.target, asked, until), seconds, asked.deadline)

    async def whole(self, attempt: Attempt, asked: Asked) -> Whole:
        """Return a whole answer. Raises as `open` does."""
        opened = await self.open(attempt, asked)
        return await _guarded(self._read(opened), opened.until.remaining(), asked.deadline)

    async def answers(self, backend: Backend, timeout_s: float) -> str:
        """Return "ok" if the backend's server answers in time at all, else why not."""
        try:
            async with asyncio.timeout(timeout_s):
                shown = headers.authorization(self._key_of(backend))
                found = await self.client.get(f"{backend.url}/models", headers=shown)
        except TimeoutError:
            return f"no answer within {timeout_s:g} s"
        except httpx.HTTPError as error:
            return type(error).__name__
        return "ok" if found.status_code < 300 else f"status {found.status_code}"

    async def _open(self, target: Backend, asked: Asked, until: Deadline) -> Opened:
        response = await self._send(target, asked, until)
        pieces = cast("AsyncGenerator[bytes, None]", response.aiter_raw())
        try:
            first = await anext(pieces, b"")
            if not first:
                raise unavailable("broken", "an answer without a byte")
            return Opened(response, first, pieces, until)
        except BaseException:
            await response.aclose()
            raise

    async def _read(self, opened: Opened) -> Whole:
        content = bytearray()
        try:
            async for piece in opened.chunks():
                content += piece
                if len(content) > self._answer_bytes:
                    raise unavailable("refused", f"more than {self._answer_bytes} bytes")
        finally:
            await opened.close()
        return Whole(opened.response, bytes(content))

    async def _send(self, target: Backend, asked: Asked, until: Deadline) -> httpx.Response:
        """Return the head of a good answer. Raises BackendError or PipelineError for another."""
        given = headers.upstream(asked.headers, asked.request_id, until.remaining(), self._key_of(target))
        content = asked.content(target.model)
        request = self.client.build_request("POST", f"{target.url}{asked.path}", content=content, headers=given)
        try:
            response = await self.client.send(request, stream=True)
        except _NO_ANSWER_YET:
            response = await self.client.send(request, stream=True)
        if response.status_code < 300:
            return response
        try:
            raise refusal(response.status_code, response.headers, await _beginning(response))
        finally:
            await response.aclose()


async def _guarded(work: Coroutine[Any, Any, T], seconds: float, deadline: Deadline) -> T:
    """Return what `work` returns within `seconds`; what httpx raises becomes BackendError."""
    try:
        async with asyncio.timeout(seconds):
            return await work
    except httpx.PoolTimeout as error:
        raise BackendError("busy", overloaded(1.0), "no connection is free") from error
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise unavailable("connect", type(error).__name__) from error
    except TimeoutError as error:
        if deadline.remaining() <= 0:
            raise deadline_exceeded() from error
        raise too_late(f"nothing within {seconds:g} s") from error
    except httpx.LocalProtocolError as error:
        raise bad_request("a header of the request cannot be passed on") from error
    except (httpx.TransportError, httpx.StreamError) as error:
        raise unavailable("broken", type(error).__name__) from error


async def _beginning(response: httpx.Response) -> bytes:
    content = b""
    async for piece in response.aiter_raw():
        content += piece
        if len(content) > _ERROR_BYTES:
            break
    return content
