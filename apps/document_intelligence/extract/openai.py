"""A language model behind any server that speaks the OpenAI protocol."""

import os
from typing import Any

from apps.common.errors import PipelineError, deadline_exceeded, overloaded
from apps.document_intelligence.settings import ExtractorArgs


class OpenAIModel:
    """Asks for a chat completion in a JSON schema.

    Connection errors, 408, 409, 429 and 5xx are tried again by the official client, `max_retries` times.
    """

    def __init__(self, args: ExtractorArgs):
        from openai import AsyncOpenAI

        self._args = args
        key = os.environ.get(args.api_key_variable, "none")
        self._client: Any = AsyncOpenAI(base_url=args.base_url, api_key=key, max_retries=args.max_retries)

    async def complete(self, messages: list[dict[str, str]], schema: dict[str, Any], timeout_s: float) -> str:
        """Return the answer.

        Raises:
            PipelineError: 503 when the server has no room, 504 when it is too slow, 502 for any other refusal.
        """
        import openai

        try:
            answer = await self._client.chat.completions.create(
                model=self._args.model,
                messages=messages,
                max_tokens=self._args.max_tokens,
                temperature=0,
                response_format={"type": "json_schema", "json_schema": {"name": "fields", "schema": schema}},
                timeout=min(timeout_s, self._args.timeout_s),
            )
        except openai.APITimeoutError as error:
            raise deadline_exceeded() from error
        except openai.RateLimitError as error:
            raise overloaded(1.0) from error
        except openai.APIError as error:
            message = f"the language model server failed ({type(error).__name__})"
            raise PipelineError(502, "extractor", message) from error
        return (answer.choices[0].message.content if answer.choices else None) or ""
