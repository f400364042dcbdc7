"""What a namespace looked like, written to a folder before it is deleted. Never raises, bounded in size.

evidence/<folder>/  ray.io/*.json  pods.json  services.json  endpointslices.json  events.txt  logs/<pod>/<container>.log
                    dashboard/<head pod>.json  missing.txt (what could not be read, and why)
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rayops.kube.client import Kube
from rayops.kube.objects import (
    ENDPOINT_SLICE,
    NODE_TYPE_LABEL,
    POD,
    RAY_CLUSTER,
    RAY_JOB,
    RAY_SERVICE,
    SERVICE,
    Obj,
    dig,
    labels_of,
    name_of,
)

LOG_BYTES: Final = 500_000
FOLDER_BYTES: Final = 30_000_000
DASHBOARD_PORT: Final = 8265
_OBJECTS: Final = {
    "ray.io/rayservices.json": RAY_SERVICE,
    "ray.io/rayclusters.json": RAY_CLUSTER,
    "ray.io/rayjobs.json": RAY_JOB,
    "pods.json": POD,
    "services.json": SERVICE,
    "endpointslices.json": ENDPOINT_SLICE,
}


def save_evidence(kube: Kube, namespace: str, folder: Path) -> Path:
    """Write everything that explains the state of a namespace into the folder; the folder."""
    out = _Folder(folder)
    for file, kind in _OBJECTS.items():
        out.save(file, lambda kind=kind: json.dumps(kube.list(kind, namespace), indent=1))  # type: ignore[misc]
    out.save("events.txt", lambda: "\n".join(_event_line(event) for event in kube.events(namespace)))
    pods: list[Obj] = []
    out.attempt("the list of pods", lambda: pods.extend(kube.list(POD, namespace)))
    for pod in pods:
        _save_pod(kube, namespace, pod, out)
    return folder


def _save_pod(kube: Kube, namespace: str, pod: Obj, out: "_Folder") -> None:
    name = name_of(pod)
    for field in ("initContainerStatuses", "containerStatuses"):
        for state in dig(pod, "status", field, default=[]):
            container = str(state["name"])
            out.save(f"logs/{name}/{container}.log", _log(kube, namespace, name, container, previous=False))
            if state.get("restartCount"):
                out.save(f"logs/{name}/{container}.previous.log", _log(kube, namespace, name, container, previous=True))
    if labels_of(pod).get(NODE_TYPE_LABEL) == "head":
        out.save(f"dashboard/{name}.json", lambda: _dashboard(kube, namespace, name))


def _log(kube: Kube, namespace: str, pod: str, container: str, *, previous: bool) -> Callable[[], str]:
    return lambda: kube.logs(namespace, pod, container, previous=previous, limit_bytes=LOG_BYTES)


def _dashboard(kube: Kube, namespace: str, head: str) -> str:
    return json.dumps(kube.proxy_json(namespace, head, DASHBOARD_PORT, "api/serve/applications/"), indent=1)


def _event_line(event: Obj) -> str:
    at = event.get("lastTimestamp") or event.get("eventTime") or ""
    about = f"{dig(event, 'involvedObject', 'kind')}/{dig(event, 'involvedObject', 'name')}"
    return (
        f"{at}  {event.get('type')}  {event.get('reason')}  {about}  x{event.get('count') or 1}  {event.get('message')}"
    )


class _Folder:
    """Writes files until the folder is full, and notes what it could not write."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._left = FOLDER_BYTES

    def attempt(self, what: str, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception as error:  # evidence must never hide the failure that it is evidence of
            self._note(f"{what}: {type(error).__name__}: {error}")

    def save(self, file: str, content: Callable[[], str]) -> None:
        self.attempt(file, lambda: self._write(file, content()))

    def _write(self, file: str, content: str) -> None:
        raw = content.encode(errors="replace")
        if len(raw) > self._left:
            raise OSError(f"left out, {len(raw)} bytes: the folder holds {FOLDER_BYTES} at most")
        path = self.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
        self._left -= len(raw)

    def _note(self, line: str) -> None:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with (self.root / "missing.txt").open("a") as notes:
                notes.write(line + "\n")
        except OSError:
            return
