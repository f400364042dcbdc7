"""The app that an overlay names: its folder among the overlay's resources, its serve.yaml; the overlay's sizing.env."""

from pathlib import Path
from typing import Any

import yaml

from rayops.errors import RayopsError


def app_serve_file(pipeline: str, environment: str, root: Path) -> Path:
    """The serve.yaml of an overlay: of the app's folder among its resources (apps/NAME, or a variant below it).

    RayopsError where the environment or the pipeline is missing, or the overlay names no single app.
    """
    overlays = root / "overlays" / environment
    if not environment or not overlays.is_dir():
        raise RayopsError(f"no environment {environment}: overlays/{environment} is missing")
    overlay = overlays / pipeline / "kustomization.yaml"
    if not pipeline or not overlay.exists():
        there = sorted(path.parent.name for path in overlays.glob("*/sizing.env"))
        missing = f"overlays/{environment}/{pipeline} is missing"
        raise RayopsError(f"no pipeline {pipeline}: {missing}", hint=f"there are: {', '.join(there)}")
    resources = yaml.safe_load(overlay.read_text()).get("resources") or []
    files: list[Path] = [
        file.resolve() for each in resources if (file := overlay.parent / each / "serve.yaml").exists()
    ]
    if len(files) != 1:
        raise RayopsError(f"{overlay.relative_to(root)}: no single resource with a serve.yaml, found {len(files)}")
    return files[0]


def read_serve_file(file: Path) -> dict[str, Any]:
    """A serve.yaml as a mapping. RayopsError where it is none."""
    try:
        loaded = yaml.safe_load(file.read_text())
    except yaml.YAMLError as error:
        raise RayopsError(f"{file} is not YAML: {error}") from error
    if not isinstance(loaded, dict):
        raise RayopsError(f"{file}: empty or no mapping")
    return loaded


def read_sizing(file: Path) -> dict[str, str]:
    """The numbers of a sizing.env by name. RayopsError where it is missing or a line is no NAME=VALUE."""
    try:
        lines = file.read_text().splitlines()
    except FileNotFoundError as error:
        raise RayopsError(f"{file} is missing", hint="copy the one of another pipeline of this environment") from error
    numbers = {}
    for count, line in enumerate(lines, 1):
        if line.strip() and not line.lstrip().startswith("#"):
            name, equals, value = line.partition("=")
            if not equals or not name.strip():
                raise RayopsError(f"{file}: line {count} is no NAME=VALUE: {line}")
            numbers[name.strip()] = value.strip()
    return numbers
