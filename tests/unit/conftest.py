"""Unit tests reach no container engine and no cluster, also when the code under test is broken."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def nothing_in_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = Path("/nonexistent")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{nowhere}/docker.sock")
    monkeypatch.setenv("KUBECONFIG", str(nowhere / "kubeconfig"))
