"""Kustomize as a process: an overlay folder in, its objects out."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import yaml

from rayops.errors import RayopsError
from rayops.paths import BIN
from rayops.render.objects import Obj

TIMEOUT_S = 60.0


def find_kustomize(binary: Path | None = None) -> list[str]:
    """The command that renders a folder: the given binary, else the pinned kustomize, one of PATH, kubectl's own.

    A binary named kubectl is called as `kubectl kustomize`. RayopsError where there is none of them.
    """
    pinned = BIN / "kustomize"
    found = str(binary or "") or (str(pinned) if pinned.exists() else None)
    found = found or shutil.which("kustomize") or shutil.which("kubectl")
    if not found:
        raise RayopsError("neither kustomize nor kubectl is here", hint="./scripts/up builds the pinned kustomize")
    return [found, "kustomize"] if Path(found).name.startswith("kubectl") else [found, "build"]


def render(overlay: Path, *, binary: Path | None = None) -> list[Obj]:
    """The objects of an overlay, in the order in which they are to be applied.

    RayopsError, in one line with the folder and the cause, where the overlay is missing or does not render.
    """
    if not (overlay / "kustomization.yaml").is_file():
        raise RayopsError(f"{overlay}: no kustomization.yaml here")
    output = _run([*find_kustomize(binary), str(overlay)], overlay)
    try:
        return [loaded for loaded in yaml.load_all(output, Loader=yaml.CSafeLoader) if loaded]
    except yaml.YAMLError as error:
        raise RayopsError(f"{overlay}: kustomize printed what is not YAML: {_one_line(str(error))}") from error


def _run(command: Sequence[str], overlay: Path) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise RayopsError(f"{overlay}: {command[0]} took more than {TIMEOUT_S:.0f} s") from error
    except OSError as error:
        raise RayopsError(f"{overlay}: {command[0]} does not start: {error}") from error
    if done.returncode != 0:
        raise RayopsError(f"{overlay}: {cause(done.stderr)}")
    return done.stdout


def cause(stderr: str) -> str:
    """The innermost message of kustomize's nested ones, with the folder that it names."""
    text = _one_line(stderr.replace('\\"', '"'))
    text = re.sub(r'^E\d+ .*?err="|^[Ee]rror: ', "", text).rstrip('" ')
    folders = re.findall(r"recursed accumulation of path '([^']+)'", text)
    text = re.split(r"recursed accumulation of path '[^']+': ", text)[-1]
    text = re.sub(r"^accumulating (resources|components): (accumulation err='|accumulateDirectory: )?\"?", "", text)
    return f"{text} (in {folders[-1]})" if folders else text or "kustomize failed and said nothing"


def _one_line(text: str) -> str:
    return " ".join(text.split())
