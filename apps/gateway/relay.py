"""A backend's stream on its way to the client."""

import logging
from collections.abc import AsyncIterator, Callable

import httpx
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from apps.common.errors import PipelineError
from apps.common.handlers import translate
from apps.common.http import while_connected
from apps.common.openai import sse
from apps.common.openai.errors import openai_error
from apps.gateway.backends import Opened
from apps.gateway.failures import unavailable
from apps.gateway.usage import StreamMeter

logger = logging.getLogger("ray.serve")

Ended = Callable[[str, StreamMeter], None]


class Relay(Response):
    """Sends what a backend sends, as it comes. When the client leaves, the backend's connection is closed at once.

    Args:
        opened: the stream.
        meter: follows it.
        headers: of the answer.
        request_id: for the error that may end it.
        ended: told how it ended ("ok" or "cut"), with the meter, whatever happened.
    """

    def __init__(self, opened: Opened, meter: StreamMeter, headers: dict[str, str], request_id: str, ended: Ended):
        super().__init__(status_code=opened.response.status_code, headers=headers)
        # The length is not known.
        del self.headers["content-length"]
        self._opened = opened
        self._meter = meter
        self._request_id = request_id
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it all."""
        status = "cut"
        try:
            if await while_connected(Request(scope, receive), self._send(send)):
                status = "ok"
        except PipelineError as error:
            logger.info("stream request_id=%s: %s", self._request_id, error)
        finally:
            await self._opened.close()
            self._ended(status, self._meter)

    async def _send(self, send: Send) -> bool:
        """Send; return whether it came to its end."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        whole = True
        try:
            async for piece in self._pieces():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        except (httpx.TransportError, httpx.StreamError, TimeoutError) as error:
            whole = False
            known = translate(error) or unavailable("broken", type(error).__name__).error
            body = b"\n\n" + sse.data(openai_error(known, self._request_id))
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return whole

    async def _pieces(self) -> AsyncIterator[bytes]:
        async for chunk in self._opened.chunks():
            piece = self._meter.feed(chunk)
            if piece:
                yield piece
        rest = self._meter.rest()
        if rest:
            yield rest
