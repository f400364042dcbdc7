"""Server-sent events as OpenAI's clients read them: one `data:` line each, and `[DONE]` at the end."""

import json
from typing import Any

from pydantic import BaseModel

DONE = b"data: [DONE]\n\n"
MEDIA_TYPE = "text/event-stream"


def data(body: BaseModel | dict[str, Any]) -> bytes:
    """Return `body` as one event; of a model only what was set, so that absent and null stay different."""
    text = body.model_dump_json(exclude_unset=True) if isinstance(body, BaseModel) else json.dumps(body)
    return b"data: " + text.encode() + b"\n\n"
