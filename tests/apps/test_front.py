"""What every ingress of every pipeline has, asked of each."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.apps.serving import PIPELINES, Served


@pytest.fixture(params=PIPELINES)
def pipeline(request: pytest.FixtureRequest, served: Callable[..., Served]) -> Served:
    return served(request.param)


def test_it_is_up_ready_and_describes_itself(pipeline: Served) -> None:
    health = httpx.get(f"{pipeline.url}/healthz").json()
    assert health["status"] == "ok"
    assert isinstance(health["settings"], dict)
    ready = httpx.get(f"{pipeline.url}/readyz", timeout=10).json()
    assert ready["status"] == "ready", ready
    assert ready["steps"]
    assert set(ready["steps"].values()) == {"ok"}
    described = httpx.get(f"{pipeline.url}/openapi.json").json()
    assert {"/healthz", "/readyz"} < set(described["paths"])
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            assert operation.get("description"), f"{method} {path} says nothing"
            if method == "post":
                # OpenAI's clients expect bad input to be a 400.
                bad = "400" if path.startswith("/v1/") and "/v1/chat/completions" in described["paths"] else "422"
                assert {"413", "415", bad, "503", "504"} <= set(operation["responses"]), path


def test_an_unknown_path_and_method_are_errors_of_the_one_shape(pipeline: Served) -> None:
    for answer, status in ((httpx.get(f"{pipeline.url}/nowhere"), 404), (httpx.put(f"{pipeline.url}/healthz"), 415)):
        assert answer.status_code == status
        error: dict[str, Any] = answer.json()["error"]
        assert error["request_id"] == answer.headers["x-request-id"]
