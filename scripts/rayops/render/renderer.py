"""The program that builds many Kustomize folders in one start (scripts/tools/renderer), and how it is asked."""

import contextlib
import functools
import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rayops.errors import RayopsError
from rayops.paths import BIN, TOOLS, content_hash

MODULE = "renderer"
# A folder of this repository takes a tenth of a second; one alone that needs this long hangs.
START_S, FOLDER_S, ALONE_S = 60.0, 3.0, 20.0

Answer = dict[str, Any]


@functools.cache
def program() -> Path:
    """The program of this source, built when it is not there. RayopsError where there is no Go to build it."""
    name = f"{MODULE}-{content_hash(TOOLS / MODULE)}"
    if not (BIN / name).exists():
        from rayops.cluster import gobuild

        unfinished = f"{name}.{os.getpid()}"
        gobuild.build(MODULE, ["."], BIN, name=unfinished)
        (BIN / unfinished).rename(BIN / name)
    return BIN / name


def ask(root: Path, folders: Sequence[str], mode: str, **more: Mapping[str, Sequence[str]]) -> dict[str, Answer]:
    """The answer for each folder (main.go: answer). mode: render, chain, mark; more: what a mode needs besides.

    A folder that ends the program, or lets it hang, is asked once more alone; then its answer is an error.
    """
    found = _ask(root, folders, mode, START_S + FOLDER_S * len(folders), more)
    for folder in folders:
        if folder not in found and len(folders) > 1:
            found.update(_ask(root, [folder], mode, ALONE_S, more))
        if folder not in found:
            found[folder] = {"folder": folder, "objects": [], "files": [], "absent": [], "error": "kustomize gave up"}
    return found


def _ask(root: Path, folders: Sequence[str], mode: str, seconds: float, more: Mapping[str, Any]) -> dict[str, Answer]:
    request = json.dumps({"root": str(root), "folders": list(folders), "mode": mode, **more})
    try:
        process = subprocess.Popen(
            [program()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # so that its own processes end with it
        )
    except OSError as error:
        raise RayopsError(f"{program().name} does not start: {error.strerror}") from error
    try:
        output, _ = process.communicate(request, timeout=seconds)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    answers = (_answer(line) for line in output.splitlines())
    return {answer["folder"]: answer for answer in answers if answer}


def _answer(line: str) -> Answer | None:
    """One line; None where the program was ended in the middle of it."""
    try:
        answer: Answer = json.loads(line)
    except ValueError:
        return None
    return answer
