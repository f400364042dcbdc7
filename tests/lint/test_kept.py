"""Findings are taken from the cache only where nothing has changed that they come from."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from rayops.lint import engine, kept
from rayops.lint.model import Finding
from rayops.render.sources import load

CLUSTER = {
    "apiVersion": "ray.io/v1",
    "kind": "RayCluster",
    "metadata": {"name": "x", "namespace": "x"},
    "spec": {"headGroupSpec": {"rayStartParams": {}, "template": {"spec": {"hostNetwork": True, "containers": [
        {"name": "ray-head", "image": "r/x:1", "resources": {"limits": {"cpu": "1", "memory": "2Gi"}}}]}}}},
}  # fmt: skip


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("rayops.paths.CACHE", tmp_path / "cache")
    root = tmp_path / "root"
    (root / "base").mkdir(parents=True)
    (root / "base/kustomization.yaml").write_text("resources: [cluster.yaml]\n")
    (root / "base/cluster.yaml").write_text(yaml.safe_dump(CLUSTER))
    return root


def lint(root: Path, count: Callable[[], None]) -> list[Finding]:
    sources = load(root)

    def search() -> list[Finding]:
        count()
        return list(engine.lint(sources, root).findings)

    return kept.kept(sources, root, search)


def test_they_are_searched_again_only_after_a_change(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[int] = []
    first = lint(repository, lambda: searched.append(1))
    assert first
    assert lint(repository, lambda: searched.append(1)) == first
    assert len(searched) == 1, "nothing has changed"
    file = repository / "base/cluster.yaml"
    file.write_text(file.read_text().replace("hostNetwork: true", "hostNetwork: false"))
    assert lint(repository, lambda: searched.append(1)) != first
    assert len(searched) == 2
    prices = {"currency": "EUR", "date": "2026-11-22", "source": "a test", "pools": []}
    (repository / "prices.yaml").write_text(yaml.safe_dump(prices))
    lint(repository, lambda: searched.append(1))
    assert len(searched) == 3, "a rule reads the prices, which no source is built from"
    monkeypatch.setattr(kept, "_identity", lambda: "another code")
    lint(repository, lambda: searched.append(1))
    assert len(searched) == 4


def test_an_entry_that_is_none_of_ours_counts_for_nothing(repository: Path, tmp_path: Path) -> None:
    searched: list[int] = []
    first = lint(repository, lambda: searched.append(1))
    for entry in (tmp_path / "cache/findings").rglob("*.json"):
        if isinstance(yaml.safe_load(entry.read_text()), list) and "names" not in entry.name:
            entry.write_text('[{"rule": "nobody knows it"}]')
    assert lint(repository, lambda: searched.append(1)) == first
    assert len(searched) == 2
