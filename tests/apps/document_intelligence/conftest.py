"""The pipeline on a port, its parts, and one document after the other."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from apps.common.onnx_text import Embedder
from apps.document_intelligence.reading.sandbox import Reader
from apps.document_intelligence.settings import ReaderArgs
from tests.apps.serving import Served


@pytest.fixture(scope="session")
def pipeline(served: Callable[..., Served]) -> Served:
    return served("document-intelligence")


@pytest.fixture(scope="session")
def url(pipeline: Served) -> str:
    return pipeline.url


@pytest.fixture(scope="session")
def reader() -> Reader:
    return Reader(ReaderArgs(memory_mb=600, cpu_s=5, wall_s=20))


@pytest.fixture(scope="session")
def run() -> Callable[[Coroutine[Any, Any, Any]], Any]:
    return asyncio.run


@pytest.fixture(scope="session")
def names_encoder(embedder: Embedder) -> Embedder:
    return embedder
