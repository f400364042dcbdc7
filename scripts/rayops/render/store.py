"""Results by content: what was made of exactly these files, by this program, is not made again.

A result belongs to a name ("overlays/prod/rag") and to the content of all files that were read for it, whichever tree
they lie in, so a review finds the renders of the other revision here too. Files are read again only where their time,
size or inode differs. Entries are written whole or not at all; one that cannot be read is as good as none.
"""

import contextlib
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rayops.paths import CACHE

VERSIONS = 8  # of one name: the branches and revisions that people go to and fro between
RESULTS = 4000  # files kept; the oldest quarter goes when there are more
# A file that was changed this recently may change again without a new time (the file system's clock ticks in steps).
FRESH_S = 2.0
ABSENT = "absent"


class Store:
    """Results of one program (its hash) for the files below one root."""

    def __init__(self, root: Path, program: str, folder: Path | None = None) -> None:
        self.root = root
        self.folder = (folder or CACHE / "render") / program
        self._memo_file = self.folder / f"files-{_hash(str(root))}.json"
        self._memo: dict[str, list[Any]] | None = None
        self._seen: dict[str, str] = {}
        self._learned = False

    def digest(self, name: str) -> str:
        """The content of a file in 32 hex digits, or "absent"."""
        if name not in self._seen:
            self._seen[name] = self._digest(name)
        return self._seen[name]

    def get(self, name: str) -> tuple[str, Any] | None:
        """Key and result of a name, where all that was read for it is as it was."""
        for version in self._versions(name):
            try:
                same = all(self.digest(file) == digest for file, digest in version["files"].items())
                result = _read(self.folder / f"{version['key']}.json") if same else None
                if result is not None:
                    return str(version["key"]), result
            except (KeyError, TypeError, AttributeError):
                continue
        return None

    def put(self, name: str, read: Iterable[str], absent: Iterable[str], result: Any) -> str:
        """Keep a result; returns its key, under which `keep` puts what belongs to it."""
        files = {file: self.digest(file) for file in sorted({*read, *absent})}
        key = _hash(json.dumps([name, files]))
        _write(self.folder / f"{key}.json", result)
        others = [version for version in self._versions(name) if version.get("key") != key]
        _write(self._index(name), [{"key": key, "files": files}, *others][:VERSIONS])
        return key

    def beside(self, key: str, kind: str) -> Any:
        """What was kept beside a result, None where nothing was."""
        return _read(self.folder / f"{key}.{kind}.json")

    def keep(self, key: str, kind: str, value: Any) -> None:
        """Keep something beside a result."""
        _write(self.folder / f"{key}.{kind}.json", value)

    def save(self) -> None:
        """Write down what was learned of files, and forget the oldest results where there are too many."""
        if not self._learned:
            return
        _write(self._memo_file, self._memo)
        self._learned = False
        files = sorted(self.folder.glob("*.json"), key=_age)
        for file in files[: len(files) // 4] if len(files) > RESULTS else []:
            file.unlink(missing_ok=True)

    def _digest(self, name: str) -> str:
        path = self.root / name
        try:
            stat = path.stat()
            signature = [stat.st_mtime_ns, stat.st_size, stat.st_ino]
            if self._memo is None:
                found = _read(self._memo_file)
                self._memo = found if isinstance(found, dict) else {}
            known = self._memo.get(name)
            if isinstance(known, list) and known[:3] == signature and len(known) == 4 and isinstance(known[3], str):
                return known[3]
            digest = hashlib.sha256(path.read_bytes()).hexdigest()[:32]
        except (OSError, ValueError):
            return ABSENT
        if time.time() - stat.st_mtime > FRESH_S:
            self._memo[name] = [*signature, digest]
            self._learned = True
        return digest

    def _versions(self, name: str) -> list[dict[str, Any]]:
        found = _read(self._index(name))
        return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []

    def _index(self, name: str) -> Path:
        return self.folder / f"{_hash(name)}.names.json"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _age(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def _write(file: Path, value: Any) -> None:
    """Whole or not at all; a full or read-only disk costs only time."""
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=file.parent, suffix=".unfinished")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as unfinished:
                # dumps, because only that is written in C
                unfinished.write(json.dumps(value, separators=(",", ":")))
            Path(name).replace(file)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
