"""A gateway with backends on real ports."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from apps.common.settings import LimitArgs
from apps.gateway.settings import GatewayArgs
from tests.apps.gateway.backend import KEY, METERED, NARROW, Backend, Running, digest, keys_text, route, start, target


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    file = tmp_path / "keys.yaml"
    file.write_text(
        keys_text(
            {"name": "all", "sha256": digest(KEY)},
            {"name": "narrow", "sha256": digest(NARROW), "models": ["one"]},
            {"name": "metered", "sha256": digest(METERED), "requests_per_minute": 3, "tokens_per_minute": 15},
        )
    )
    return file


@pytest.fixture
def args(keys_file: Path) -> GatewayArgs:
    return GatewayArgs(keys_file=keys_file, limits=LimitArgs(in_flight=64, body_timeout_s=2, retry_after_s=7))


@pytest.fixture
def one() -> Backend:
    return Backend("one")


@pytest.fixture
def two() -> Backend:
    return Backend("two")


@pytest.fixture
def urls(one: Backend, two: Backend, serving: Callable[[Any], str]) -> tuple[str, str]:
    return serving(one), serving(two)


@pytest.fixture
def running(serving: Callable[[Any], str], args: GatewayArgs, urls: tuple[str, str]) -> Running:
    """Models `one` (alias `first`), which falls back to `two`, then `two` and `vectors`."""
    found = start(serving, args, rng=random.Random(7))  # noqa: S311
    first, second = urls
    found.configure(
        route("one", target("one", first), aliases=["first"], fallback=["two"]),
        route("two", target("two", second)),
        route("vectors", target("vectors", first), kind="embeddings"),
    )
    return found


@pytest.fixture
def client(running: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{running.url}/v1", api_key=KEY, max_retries=0, timeout=20) as opened:
        yield opened
