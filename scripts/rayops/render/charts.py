"""Helm charts as objects, each with the template that wrote it. Talks to no cluster and to no repository."""

import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from rayops import proc
from rayops.errors import RayopsError
from rayops.render import loader
from rayops.render.objects import Obj
from rayops.render.places import Place

TIMEOUT_S = 60.0
OPERATOR = "kuberay-operator"
SOURCE = re.compile(r"^# Source: ([^/\n]+)/(.+)$", re.MULTILINE)


def files(root: Path, chart: str, values: str = "") -> list[str]:
    """All that a render of the chart reads, relative to the root."""
    inside = sorted(path for path in (root / chart).rglob("*") if path.is_file())
    return [*(path.relative_to(root).as_posix() for path in inside), *([values] if values else [])]


def render(root: Path, chart: str, values: str, program: Path) -> tuple[list[Obj], list[Place]]:
    """Objects of a chart with a values file ("" for none), and where each is written. program: Helm.

    RayopsError, with file:line where Helm names one, when it does not render.
    """
    for file in ("Chart.yaml", "values.yaml"):
        if (root / chart / file).is_file():
            loader.load_file(root / chart / file, f"{chart}/{file}")
    if values:
        loader.load_file(root / values, values)
    with _complete(root, chart) as folder:
        command: list[str | Path] = [program, "template", "release", folder, "--namespace", "default"]
        if values:
            command += ["--values", root / values]
        output = _run(command, root, chart, folder)
    objects: list[Obj] = []
    places: list[Place] = []
    for text in re.split(r"^---\s*$", output, flags=re.MULTILINE):
        found = SOURCE.search(text)
        for obj in loader.load_all(text, f"{chart}: Helm's output"):
            objects.append(obj)
            places.append(_place(root, chart, found[2] if found else "", str(obj.get("kind"))))
    return objects, places


def _run(command: Sequence[str | Path], root: Path, chart: str, folder: Path) -> str:
    """Helm's output. Nothing of this machine's Helm settings plays a part."""
    try:
        with tempfile.TemporaryDirectory() as empty:
            homes = {f"HELM_{name}_HOME": empty for name in ("CONFIG", "CACHE", "DATA")}
            return proc.run(command, env={**homes, "HELM_PLUGINS": empty}, timeout=TIMEOUT_S)
    except RayopsError as error:
        message = error.message.partition("failed: ")[2] or error.message
        message = re.sub(r"^Error: ", "", message).replace(f"{folder}", chart).replace(f"{root}/", "")
        where = re.search(r"\(?\b[\w.-]+/(templates/[^:)\s]+):(\d+)", message)
        raise RayopsError(f"{chart}/{where[1]}:{where[2]}: {message}" if where else f"{chart}: {message}") from error


@contextlib.contextmanager
def _complete(root: Path, chart: str) -> Iterator[Path]:
    """The chart's folder with its dependencies.

    KubeRay's operator of the pinned version is packaged where it is missing. RayopsError where another one is not:
    Helm would have to ask a repository.
    """
    folder = root / chart
    meta = (loader.load_file(folder / "Chart.yaml", f"{chart}/Chart.yaml") or [{}])[0]
    missing = [each for each in meta.get("dependencies") or [] if not _is_there(folder, each)]
    if not missing:
        yield folder
        return
    from rayops.cluster import operator
    from rayops.versions import pin

    first = missing[0]
    if [(each.get("name"), str(each.get("version"))) for each in missing] != [(OPERATOR, pin("KUBERAY_VERSION"))]:
        line = _line(folder / "Chart.yaml", f"name: {first.get('name')}")
        raise RayopsError(
            f"{chart}/Chart.yaml:{line}: {first.get('name')} {first.get('version')} is not in charts/",
            hint=f"helm dependency build {chart}",
        )
    with tempfile.TemporaryDirectory(prefix="rayops-chart-") as temporary:
        copy = Path(temporary) / folder.name
        shutil.copytree(folder, copy)
        operator.ensure_chart(offline=True, chart=copy)
        yield copy


def _is_there(folder: Path, dependency: Obj) -> bool:
    name = str(dependency.get("name"))
    return (folder / "charts" / name).is_dir() or any((folder / "charts").glob(f"{name}-*.tgz"))


def _place(root: Path, chart: str, template: str, kind: str) -> Place:
    """The line of the object's kind in its template; of a packed dependency its line in Chart.yaml."""
    if template and (root / chart / template).is_file():
        return Place(f"{chart}/{template}", _line(root / chart / template, f"kind: {kind}"))
    packed = re.match(r"charts/([^/]+)/", template)
    name = f"name: {packed[1]}" if packed else "name:"
    return Place(f"{chart}/Chart.yaml", _line(root / chart / "Chart.yaml", name))


def _line(file: Path, text: str) -> int:
    """The first line that has the text; 1 where none has."""
    try:
        lines = file.read_text("utf-8", "replace").splitlines()
    except OSError:
        return 1
    return next((number for number, line in enumerate(lines, 1) if text in line), 1)
