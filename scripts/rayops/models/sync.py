"""The whole registry at once: read the catalogue, check it, and say what each generated file must hold."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rayops.models import blocks, capacity, generate, lock, places, rules
from rayops.models.blocks import Block, WrongBlockError
from rayops.models.document import Document, Fault, read
from rayops.models.places import Overlay, Places
from rayops.models.schema import Catalogue

CATALOGUE = "apps/gateway/models.yaml"
LOCK, SCHEMA, PAGE = (f"apps/gateway/{name}" for name in ("models.lock", "models.schema.json", "README.md"))
FIX = "rayops models sync"
PER_MODEL = "LLMServer:"  # what ray.serve.llm calls the deployment of a model


@dataclass
class Plan:
    """faults: why nothing may be written; texts: what files must hold; notes: what is not yet pinned."""

    root: Path
    faults: list[Fault]
    texts: dict[Path, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    catalogue: Catalogue | None = None

    def stale(self) -> list[Fault]:
        """The files that hold something else, with the first line that differs."""
        return [
            Fault(path.relative_to(self.root).as_posix(), line, "", f"is not what {CATALOGUE} says", FIX)
            for path, text in self.texts.items()
            if (line := _difference(path.read_text("utf-8") if path.is_file() else "", text))
        ]

    def write(self) -> list[Path]:
        """Write what differs, and return it."""
        changed = [self.root / fault.file for fault in self.stale()]
        for path in changed:
            path.write_text(self.texts[path], "utf-8")
        return changed


def _difference(old: str, new: str) -> int:
    """The first line that differs, 0 where the texts are equal."""
    if old == new:
        return 0
    before, after = old.splitlines(), new.splitlines()
    same = (number for number, (one, other) in enumerate(zip(before, after, strict=False), 1) if one != other)
    return next(same, min(len(before), len(after)) + 1)


def plan(root: Path) -> Plan:
    """Read and check everything below a checkout. Nothing is written, no fault is raised."""
    document = read(root / CATALOGUE, root)
    catalogue = document.catalogue
    if catalogue is None:
        return Plan(root, document.faults)
    rules.check(document, catalogue, root)
    lock.check(document, catalogue, root / LOCK, LOCK)
    found = places.look(root, capacity.wanted(catalogue))
    capacity.check(document, catalogue, found)
    made = Plan(root, document.faults, notes=generate.notes(catalogue), catalogue=catalogue)
    if document.faults:
        _serve_files(made, document, catalogue, found, write=False)
    else:
        _serve_files(made, document, catalogue, found, write=True)
        _others(made, catalogue, found)
    made.faults = sorted(set(document.faults))
    return made


def _serve_files(made: Plan, document: Document, catalogue: Catalogue, found: Places, *, write: bool) -> None:
    """Every serve.yaml that has a block, or must have one. With faults elsewhere only its markers are read."""
    for file in sorted(made.root.glob("apps/**/serve.yaml")):
        text, name = file.read_text("utf-8"), file.relative_to(made.root).as_posix()
        try:
            there = blocks.find(text, name)
        except WrongBlockError as error:
            document.faults.append(error.fault)
            continue
        if not write:
            continue
        running = _running(document, catalogue, found, file, name)
        if there and not running and name not in catalogue.variants:
            fix = f"`{name}: {{environment: …}}` in variants of {CATALOGUE}"
            document.faults.append(Fault(name, 1, "", "no overlay runs it", fix))
        _missing(document, catalogue, running, there, name)
        _deployments(document, catalogue, text, name)
        filled = [(each, _content(document, catalogue, found, running, each, name)) for each in there]
        made.texts[file] = blocks.put(text, [(each, content) for each, content in filled if content is not None])
    for path in catalogue.variants:
        if not (made.root / path).is_file():
            document.fault(("variants", path), "there is no such file", "take it out")


def _running(document: Document, catalogue: Catalogue, found: Places, file: Path, name: str) -> list[Overlay]:
    """The overlays whose models a file gets: those that run it, or the one that `variants` names for it."""
    running, variant = found.running(file.resolve()), catalogue.variants.get(name)
    if variant is None:
        return running
    if running:
        runs = f"overlays/{running[0].environment}/{running[0].pipeline} runs it"
        document.fault(("variants", name), runs, "take it out")
        return running
    pipeline = name.split("/")[1].replace("_", "-")
    meant = found.overlays.get((variant.environment, pipeline))
    if meant is None:
        what = f"there is no overlays/{variant.environment}/{pipeline}"
        document.fault(("variants", name, "environment"), what, "an environment that has it")
        return []
    there = [each.id for each in catalogue.models_in(variant.environment) if each.pipeline == pipeline]
    for number, model in enumerate(variant.models or []):
        if model not in there:
            what = f"{model} is no model of overlays/{variant.environment}/{pipeline}"
            document.fault(("variants", name, "models", number), what, f"one of: {', '.join(there)}")
    return [meant]


def _missing(document: Document, catalogue: Catalogue, running: list[Overlay], there: list[Block], name: str) -> None:
    """Models, or routes, that have no block to stand in."""
    needed = {
        application.name: application.import_path
        for overlay in running
        for application in overlay.applications.values()
        if application.import_path == places.ROUTES
        or any(
            (model.pipeline, model.application) == (overlay.pipeline, application.name)
            for model in catalogue.models_in(overlay.environment)
        )
    }
    for application, import_path in needed.items():
        holder = "user_config" if import_path == places.ROUTES else "args"
        if not any((each.application, each.holder) == (application, holder) for each in there):
            what = f"application {application} has no place for what {CATALOGUE} says"
            fix = f"the lines `{blocks.BEGIN}` and `{blocks.END}` below its {holder}"
            document.faults.append(Fault(name, 1, "", what, fix))


def _deployments(document: Document, catalogue: Catalogue, text: str, name: str) -> None:
    """A deployment that is named after a model (`LLMServer:ID`) and outlives it: Serve would refuse the file."""
    for number, line in enumerate(text.splitlines(), 1):
        found = re.fullmatch(rf"\s*- name: {PER_MODEL}(\S+)\s*(#.*)?", line)
        if found and catalogue.model(found[1]) is None:
            what = f"the deployment of a model that {CATALOGUE} has not: {found[1]}"
            document.faults.append(Fault(name, number, "", what, "take the deployment out"))


def _content(
    document: Document, catalogue: Catalogue, found: Places, running: list[Overlay], block: Block, name: str
) -> dict[str, Any] | None:
    """What a block must hold in all environments that run the file; a fault where they want different things."""
    only = catalogue.variants[name].models if name in catalogue.variants else None
    wanted = [(each, generate.content(catalogue, found, each, block.application, only)) for each in running]
    if not wanted:
        return None
    first, content = wanted[0]
    if content is None:
        what = f"application {block.application} ({block.import_path}) takes no models"
        document.faults.append(Fault(name, block.begin + 1, "", what, "take the two lines out"))
        return None
    for other, its in wanted[1:]:
        if its != content:
            _differ(document, catalogue, name, (first, content), (other, its or {}))
    return content


def _differ(
    document: Document,
    catalogue: Catalogue,
    name: str,
    one: tuple[Overlay, dict[str, Any]],
    other: tuple[Overlay, dict[str, Any]],
) -> None:
    """Name the entry that keeps two environments from sharing a file."""
    environments = one[0].environment, other[0].environment
    runs = f"{name} runs in {' and '.join(environments)}"
    fix = "the same environments for it, or a serve.yaml of its own for one of them"
    unequal = generate.names(one[1]) ^ generate.names(other[1])
    for entry in catalogue.entries:
        has = [each for each in environments if each in entry.environments]
        if len(has) == 1 and entry.name in unequal:
            document.fault(document.at(entry, "environments"), f"{runs}, this is only in {has[0]}", fix)
            return
    fix = "the same route_prefix and names there, or a serve.yaml of its own for one of them"
    document.faults.append(Fault(name, 1, "", f"{runs}, whose addresses of models differ", fix))


def _others(made: Plan, catalogue: Catalogue, found: Places) -> None:
    """The lists of downloads, the lock, the schema and the table."""
    for overlay in found.overlays.values():
        if overlay.caches and capacity.wanted(catalogue) & {(overlay.environment, overlay.pipeline)}:
            text = generate.downloads(catalogue, overlay.environment, overlay.pipeline)
            made.texts[overlay.folder / "models.txt"] = text
    made.texts[made.root / LOCK] = lock.text(catalogue)
    made.texts[made.root / SCHEMA] = json.dumps(Catalogue.model_json_schema(), indent=2) + "\n"
    page = made.root / PAGE
    try:
        made.texts[page] = blocks.put_page(page.read_text("utf-8"), generate.table(catalogue), PAGE)
    except WrongBlockError as error:
        made.faults.append(error.fault)
