"""A pipeline made from apps/hello: code, tests, and an overlay in every environment that has one for hello."""

import re
import sys
from pathlib import Path

from rayops import proc
from rayops.cluster.kind import NODE_PORTS
from rayops.environments import NOT_YET
from rayops.errors import RayopsError
from rayops.new import names
from rayops.new.work import Work
from rayops.promote import edit

TEMPLATE = "hello"
# What apps/hello says of itself alone. Each stands there as it stands here; a test holds that.
OF_THE_TEMPLATE = {
    " Smoke tests use it, and it is the folder to copy for a\npipeline of your own.": (
        "\n`rayops new pipeline` made it from `apps/hello`: it does what that one does until you change it."
    ),
    ": the smallest pipeline\n": ", made from apps/hello\n",
    " Copy it to make one.": "",
}


def make(root: Path, name: str) -> Work:
    """Make a pipeline of a name. RayopsError, and nothing made, when the name is wrong or taken or a render fails."""
    names.check_pipeline(root, name)
    package = name.replace("-", "_")
    overlays = sorted(file.parent for file in (root / "overlays").glob(f"*/{TEMPLATE}/sizing.env"))
    if not overlays or not (root / "apps" / TEMPLATE).is_dir():
        raise RayopsError(f"apps/{TEMPLATE} and its overlays are the template, and are missing")
    with Work(root) as work:
        for folder in ("apps", "tests/apps"):
            work.copy(root / folder / TEMPLATE, root / folder / package, lambda text, file: of_code(text, file, name))
        _formatted(root, package)
        for overlay in overlays:
            work.copy(overlay, overlay.parent / name, lambda text, file: of_overlay(text, file, name))
            _named(work, overlay.parent, name)
        work.finish((f"{overlay.parent.name}/{TEMPLATE}", f"{overlay.parent.name}/{name}") for overlay in overlays)
    return work


def of_code(text: str, file: Path, name: str) -> str:
    """A text of apps/hello or its tests with the names of another pipeline."""
    package = name.replace("-", "_")
    text = re.sub(rf"{TEMPLATE.capitalize()}(?=[A-Z])", "".join(map(str.capitalize, name.split("-"))), text)
    text = re.sub(rf"\bapps([./]){TEMPLATE}\b", rf"apps\1{package}", text)
    if file.suffix == ".py":
        text = text.replace(f'"{TEMPLATE}"', f'"{name}"')
        text = re.sub(rf"\b{TEMPLATE}\b", package, text)
    text = re.sub(rf"\b{TEMPLATE}\b", name, text)
    for old, new in OF_THE_TEMPLATE.items():
        text = text.replace(old, new)
    return text


def _formatted(root: Path, package: str) -> None:
    """Other names wrap lines and sort imports otherwise: ruff sees to it, where the environment has it."""
    ruff = Path(sys.executable).with_name("ruff")
    if ruff.exists():
        folders = [root / folder / package for folder in ("apps", "tests/apps")]
        proc.run([ruff, "check", "--quiet", "--select", "I", "--fix", *folders], cwd=root)
        proc.run([ruff, "format", "--quiet", *folders], cwd=root)


def of_overlay(text: str, file: Path, name: str) -> str:
    """A text of an overlay of hello for another pipeline: its names, free node ports, and nothing promoted yet."""
    text = re.sub(rf"\bapps/{TEMPLATE}\b", f"apps/{name.replace('-', '_')}", text)
    text = re.sub(rf"\b{TEMPLATE}\b", name, text)
    if file.name == "kustomization.yaml":
        for image in edit.digests(text):
            text = edit.set_digest(text, image, NOT_YET)
    if file.name == "sizing.env":
        taken = _node_ports(file.parents[1])
        for setting in re.findall(r"^\w*NodePort(?==)", text, re.MULTILINE):
            port = next((port for port in NODE_PORTS if port not in taken), None)
            if port is None:
                where = f"overlays/{file.parents[1].name}"
                raise RayopsError(f"{where}: no node port from {NODE_PORTS[0]} to {NODE_PORTS[-1]} is free")
            taken.add(port)
            text = edit.set_setting(text, setting, str(port))
    return text


def _node_ports(environment: Path) -> set[int]:
    found = (
        re.findall(r"^\w*NodePort=(\d+)", file.read_text("utf-8"), re.M) for file in environment.glob("*/sizing.env")
    )
    return {int(port) for ports in found for port in ports}


def _named(work: Work, environment: Path, name: str) -> None:
    """Name the pipeline wherever the environment names hello outside of the pipelines' own folders."""
    pipelines = {file.parent for file in environment.glob("*/sizing.env")}
    for file in sorted(environment.rglob("*.yaml")):
        text = file.read_text("utf-8")
        if not pipelines & set(file.parents) and re.search(rf"\b{TEMPLATE}\b", text):
            work.change(file, in_list(text, name) if "\n---\n" not in text else in_documents(text, name))


def in_list(text: str, name: str) -> str:
    """The text with `name` in each list that has `hello`: sorted into one in brackets, below it in one of lines."""

    def sorted_in(found: re.Match[str]) -> str:
        items = [item.strip() for item in found[1].split(",")]
        if TEMPLATE not in items:
            return found[0]
        first = next((place for place, item in enumerate(items) if place >= _first(items) and item > name), len(items))
        return f"[{', '.join([*items[:first], name, *items[first:]])}]"

    text = re.sub(r"\[([^\[\]{}]*)\]", sorted_in, text)
    return re.sub(rf"^(\s*- ){TEMPLATE}$", rf"\1{TEMPLATE}\n\1{name}", text, flags=re.MULTILINE)


def _first(items: list[str]) -> int:
    """Where the sorted part of a list begins: `platform` may come before all pipelines."""
    start = len(items) - 1
    while start and items[start - 1] <= items[start]:
        start -= 1
    return start


def in_documents(text: str, name: str) -> str:
    """The text with a copy of each document about hello for `name`, at its end."""
    documents = text.rstrip("\n").split("\n---\n")
    of_template = [each for each in documents if re.search(rf"\b{TEMPLATE}\b", each)]
    bare = [re.sub(r"\A(#.*\n)+", "", each) for each in of_template]
    return "\n---\n".join([*documents, *(re.sub(rf"\b{TEMPLATE}\b", name, each) for each in bare)]) + "\n"
