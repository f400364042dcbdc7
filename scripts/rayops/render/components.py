"""Which components of base an overlay takes, followed through profiles and through the environment's own."""

from pathlib import Path

import yaml

from rayops.errors import RayopsError
from rayops.paths import ROOT

# What makes a service or a job of the rest, and lists of others: no capability of their own.
_PLUMBING = {"base/rayservice", "base/rayjob", "base/raycluster/complete"}


def components_of(folder: Path, root: Path = ROOT) -> list[str]:
    """The components of base below a kustomization, resolved, in the order in which Kustomize runs them.

    A component comes after those that it lists itself; names are folders relative to the repository
    (`base/components/spread`). RayopsError names the kustomization that is missing or no mapping.
    """
    found: list[str] = []
    for entry in _listed(folder / "kustomization.yaml", root):
        component = (folder / entry).resolve()
        found += components_of(component, root)
        name = component.relative_to(root.resolve()).as_posix()
        if name.startswith("base/"):
            found.append(name)
    return found


def capabilities_of(folder: Path, root: Path = ROOT) -> list[str]:
    """The short names of the capabilities that an overlay takes (`spread`, `quota`), in order, profiles resolved."""
    found = components_of(folder, root)
    return [Path(name).name for name in found if name not in _PLUMBING and not name.startswith("base/profiles/")]


def _listed(file: Path, root: Path) -> list[str]:
    name = file.relative_to(root) if file.is_relative_to(root) else file
    try:
        loaded = yaml.safe_load(file.read_text("utf-8"))
    except OSError as error:
        raise RayopsError(f"{name} is missing", hint="a component is a folder with a kustomization.yaml") from error
    except yaml.YAMLError as error:
        raise RayopsError(f"{name} is not YAML: {error}") from error
    if not isinstance(loaded, dict):
        raise RayopsError(f"{name}: empty or no mapping")
    return list(loaded.get("components") or [])
