"""Make the house's error body one that OpenAI's clients read as well: `code` and `param` beside `type` and `field`."""

import json
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class OpenAIErrors:
    """Add to every error body below `app` what OpenAI calls these fields; other answers pass untouched."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        held: list[Message] = []

        async def rewritten(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= 400:
                held.append(message)
            elif held:
                body = with_openai_names(message["body"])
                MutableHeaders(scope=held[0])["content-length"] = str(len(body))
                await send(held.pop())
                await send({**message, "body": body})
            else:
                await send(message)

        await self.app(scope, receive, rewritten)


def with_openai_names(body: bytes) -> bytes:
    """Return an error body with `code` (our type) and `param` (our field); the house writes it in one piece."""
    answer: dict[str, Any] = json.loads(body)
    error = answer["error"]
    error |= {"code": error["type"], "param": error["field"]}
    return json.dumps(answer).encode()
