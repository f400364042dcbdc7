"""The own server with the stand-in engine on a real port, and OpenAI's client for it."""

from collections.abc import Callable
from typing import Any

import openai
import pytest

from apps.llm.settings import LlmArgs
from tests.apps.llm.local import LocalEngines, application, arguments


@pytest.fixture(scope="session")
def serve_llm(serving: Callable[[Any], str]) -> Callable[..., str]:
    """`serve_llm(arguments(tpot_ms=20))`: its URL; `engines`: others than the stand-in of those arguments."""

    def start(args: LlmArgs, engines: Any = None) -> str:
        return serving(application(args, engines or LocalEngines(args)))

    return start


@pytest.fixture(scope="session")
def url(serve_llm: Callable[..., str]) -> str:
    """A server whose answers take a few milliseconds."""
    return serve_llm(arguments())


def client_of(url: str, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key="none is asked for", **{"max_retries": 0, **options})


@pytest.fixture(scope="session")
def openai_client() -> Callable[..., openai.OpenAI]:
    return client_of


@pytest.fixture
def client(url: str) -> openai.OpenAI:
    return client_of(url)
