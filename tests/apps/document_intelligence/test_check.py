"""The check of the image."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from apps.common.deadline import Deadline
from apps.common.paths import MODELS_VARIABLE
from apps.document_intelligence import check
from apps.document_intelligence.pipeline import Document, Pipeline
from apps.document_intelligence.schema import Other


def test_the_check_reads_the_sample(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODELS_VARIABLE, str(model.parent))
    found = asyncio.run(check.check())
    assert (found["kind"], found["total"]) == ("invoice", "267.60")

    async def wrong(self: Pipeline, content: bytes, media_type: str, deadline: Deadline, clock: Any) -> Document:
        assert deadline.remaining() > 0
        return Document([], None, [], Other())  # type: ignore[arg-type]

    monkeypatch.setattr(Pipeline, "read", wrong)
    with pytest.raises(AssertionError, match="not the fields of the sample"):
        asyncio.run(check.check())
