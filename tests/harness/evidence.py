"""What tests on a cluster leave behind: evidence of those that failed, and the numbers that they measured."""

import json
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rayops.kube import Kube, save_evidence


@dataclass
class Live:
    """The namespaces that are in use, so that evidence of a failure is there before anything is deleted.

    folder: where it goes. always: also for tests that pass. statuses: by name, more that is worth keeping as JSON.
    """

    folder: Path
    always: bool
    kube: Kube | None = None
    namespaces: list[str] = field(default_factory=list)
    statuses: dict[str, Callable[[], Mapping[str, object]]] = field(default_factory=dict)

    def save(self, test: str, phase: str) -> None:
        """Write everything about the namespaces below folder/test/phase. Never raises: a failure is being reported."""
        where = self.folder / test / phase
        for namespace in self.namespaces if self.kube else ():
            assert self.kube
            save_evidence(self.kube, namespace, where / namespace)
        for name, look in self.statuses.items():
            try:
                content = json.dumps(look(), indent=1, default=str)
            except Exception as error:  # evidence must never hide the failure that it is evidence of
                content = f"{type(error).__name__}: {error}"
            where.mkdir(parents=True, exist_ok=True)
            (where / f"{name}.json").write_text(content + "\n")


def file_name(nodeid: str) -> str:
    """A test's name as the name of a folder: without the folder that it lies in."""
    return re.sub(r"[^\w.-]+", "-", re.sub(r"^tests/\w+/", "", nodeid)).strip("-")


def keep_numbers(folder: Path, test: str, numbers: Mapping[str, object]) -> None:
    """Add measured numbers under a test's name to results.json in the folder, and print them."""
    file = folder / "results.json"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        results = json.loads(file.read_text()) if file.exists() else {}
    except ValueError:
        warnings.warn(f"{file} was not JSON, started anew", stacklevel=3)
        results = {}
    results.setdefault(test, {}).update(numbers)
    file.write_text(json.dumps(results, indent=1, default=str) + "\n")
    print(json.dumps({test: dict(numbers)}, default=str))
