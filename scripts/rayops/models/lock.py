"""What was recorded of each model when it was synced last: a revision whose content changes has moved.

`models.lock` has, for each model with weights, its source and revision, its size, and the digests that are known. A
file whose digest was 64 zeros may get one. A new revision is recorded anew. Whoever recorded something wrong takes the
entry out of the lock by hand: that stands in the change that others review.
"""

from pathlib import Path
from typing import Any

import yaml

from rayops.models.document import Document, Fault
from rayops.models.schema import STAND_IN, UNPINNED, Catalogue, Model

HEADER = """\
# Written by `rayops models sync`: what each revision of apps/gateway/models.yaml holds. The same revision with another
# content is refused; take an entry out here only when what was recorded was wrong.
"""


def text(catalogue: Catalogue) -> str:
    """The lock of a catalogue."""
    recorded = {model.id: _record(model) for model in catalogue.models if model.source != STAND_IN}
    return HEADER + (yaml.safe_dump(recorded, sort_keys=False, width=120) if recorded else "{}\n")


def _record(model: Model) -> dict[str, Any]:
    files = {file.path: file.sha256 for file in model.files if file.sha256.strip(UNPINNED)}
    return {"source": model.source, "revision": model.revision, "size_gib": model.size_gib, "files": files}


def check(document: Document, catalogue: Catalogue, lock: Path, name: str) -> None:
    """Note every model whose revision is the recorded one and whose content is not."""
    try:
        loaded = yaml.safe_load(lock.read_text("utf-8")) if lock.is_file() else {}
        recorded = {key: dict(value) for key, value in dict(loaded or {}).items()}
    except (yaml.YAMLError, UnicodeDecodeError, TypeError, ValueError):
        document.faults.append(Fault(name, 1, "", "no lock of models", "take the last good one from Git"))
        return
    for model in catalogue.models:
        before = recorded.get(model.id)
        if before and model.revision and model.revision.strip(UNPINNED) and before.get("revision") == model.revision:
            _compare(document, model, before)


def _compare(document: Document, model: Model, before: dict[str, Any]) -> None:
    short = f"revision {str(model.revision)[:12]}"
    fix = "another revision for another content, or the content that was recorded"
    for key in ("source", "size_gib"):
        now, then = getattr(model, key), before.get(key)
        if now != then:
            document.fault(document.at(model, key), f"{now} under the same {short} that was {then}", fix)
    files = before.get("files") or {}
    for number, file in enumerate(model.files):
        then = files.get(file.path)
        if then and then != file.sha256:
            what = f"{file.sha256[:12]}… under the same {short} that had {str(then)[:12]}…"
            document.fault(document.at(model, "files", number, "sha256"), what, fix)
