"""Each component renders alone, does something, explains itself and keeps to the form."""

from collections.abc import Callable
from pathlib import Path

import yaml

from rayops.paths import ROOT
from rayops.render import render
from tests.render.conftest import PLATFORM

Compose = Callable[..., Path]
LAST = "base/rayservice"


def stands_alone(component: Path) -> bool:
    """Whether it is of no pipeline: test_delivery.py and test_one_host.py render these as an environment does."""
    return component.is_relative_to("base/delivery") or str(component) in PLATFORM


def test_component_renders_alone_and_alike(component: Path, compose: Compose, kustomize: Path, kubectl: Path) -> None:
    if stands_alone(component):
        return
    parts = [component, LAST] if str(component) != LAST else [LAST]
    folder = compose(*parts)
    assert render(folder, binary=kustomize) == render(folder, binary=kubectl)


def test_component_changes_something(component: Path, compose: Compose, kustomize: Path) -> None:
    if str(component) in {LAST, "base/raycluster/complete"} or stands_alone(component):
        return  # the one is in the other, which every service ends with
    without = render(compose(LAST), binary=kustomize)
    assert render(compose(component, LAST), binary=kustomize) != without


def test_component_explains_itself(component: Path) -> None:
    readme = ROOT / component / "README.md"
    assert readme.is_file(), f"{component} has no README.md"
    text = readme.read_text()
    if component.parts[1] == "components":
        assert "**When:**" in text
        assert "**Changes:**" in text
    assert len(text.splitlines()) <= 60


def test_patch_files_are_named_by_kind_and_effect(component: Path) -> None:
    for patch in sorted((ROOT / component).glob("patches/*")):
        kind, effect, suffix = patch.name.split(".")
        assert (kind, suffix) == (kind.lower(), "yaml")
        assert effect
        loaded = yaml.safe_load(patch.read_text())
        if isinstance(loaded, dict):
            assert loaded["kind"].lower() == kind, patch


def test_every_patch_file_is_used(component: Path) -> None:
    used = (ROOT / component / "kustomization.yaml").read_text()
    for patch in (ROOT / component).glob("patches/*"):
        assert f"patches/{patch.name}" in used, patch
