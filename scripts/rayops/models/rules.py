"""What must hold inside the catalogue, whatever the overlays say."""

import math
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from rayops.models.document import Document, Place
from rayops.models.schema import PACKAGE, STAND_IN, Catalogue, Model, Split

PACKAGES = "apps/images/pipeline/model.txt"


def check(document: Document, catalogue: Catalogue, root: Path) -> None:
    """Note all faults of the catalogue in itself."""
    rules: tuple[Callable[[Document, Catalogue], None], ...] = (_names, _references, _cycles, _weights, _adapters)
    for rule in rules:
        rule(document, catalogue)
    for model in catalogue.models:
        _licence(document, model)
        _origin(document, model, root)


def _names(document: Document, catalogue: Catalogue) -> None:
    """An id is there once. Another name means one thing in an environment."""
    ids: dict[str, Model] = {}
    taken: dict[tuple[str, str], Place] = {}
    for model in catalogue.models:
        if model.id in ids:
            first = document.line(document.at(ids[model.id]))
            document.fault(document.at(model, "id"), f"{model.id} is a model already, in line {first}", "another id")
        ids.setdefault(model.id, model)
        for environment in model.environments:
            taken.setdefault((environment, model.id), document.at(model, "id"))
    for place, name, environments in _other_names(document, catalogue):
        clash = [taken[environment, name] for environment in environments if (environment, name) in taken]
        if clash:
            what = f"{name} is {document.name(clash[0])} already, in line {document.line(clash[0])}"
            document.fault(place, what, "another name, or other environments")
        for environment in environments:
            taken.setdefault((environment, name), place)


def _other_names(document: Document, catalogue: Catalogue) -> Iterator[tuple[Place, str, list[str]]]:
    for model in catalogue.models:
        for number, alias in enumerate(model.aliases):
            yield document.at(model, "aliases", number), alias, model.environments
    for split in catalogue.splits:
        yield document.at(split, "alias"), split.alias, split.environments


def _references(document: Document, catalogue: Catalogue) -> None:
    """Every model that another entry names is there, in the same environments, and does the same kind of work."""
    for entry, place, name in _named(document, catalogue):
        other = catalogue.model(name)
        if other is None:
            if name not in document.names("models"):
                there = ", ".join(model.id for model in catalogue.models)
                document.fault(place, f"there is no model {name}", f"one of: {there}")
            continue
        if missing := [each for each in entry.environments if each not in other.environments]:
            what = f"{name} is not in {', '.join(missing)}"
            document.fault(place, what, f"add {', '.join(missing)} to its environments, or take it out here")
        kinds = {other.kind, *_kinds(entry, catalogue)}
        if len(kinds) > 1:
            document.fault(place, f"{name} is a model for {other.kind}", "a model of the same kind")


def _kinds(entry: Model | Split, catalogue: Catalogue) -> set[str]:
    if isinstance(entry, Model):
        return {entry.kind}
    first = catalogue.model(next(iter(entry.weights)))
    return {first.kind} if first else set()


def _named(document: Document, catalogue: Catalogue) -> Iterator[tuple[Model | Split, Place, str]]:
    for entry in catalogue.entries:
        for number, name in enumerate(entry.fallback):
            yield entry, document.at(entry, "fallback", number), name
    for split in catalogue.splits:
        yield from ((split, document.at(split, "weights", name), name) for name in split.weights)
        if split.shadow:
            yield split, document.at(split, "shadow", "model"), split.shadow.model


def _cycles(document: Document, catalogue: Catalogue) -> None:
    """In a cycle no model is the last resort: what one cannot do each gets from another."""
    told: set[frozenset[str]] = set()
    for model in catalogue.models:
        way = _way_back(model.id, {each.id: each.fallback for each in catalogue.models})
        if way and frozenset(way) not in told:
            told.add(frozenset(way))
            document.fault(document.at(model, "fallback"), f"a cycle: {' → '.join([*way, model.id])}", "end it")
    for split in catalogue.splits:
        for number, name in enumerate(split.fallback):
            if name in split.weights:
                place = document.at(split, "fallback", number)
                document.fault(place, f"a cycle: {name} is a part of the split", "a model that is not")


def _way_back(start: str, after: dict[str, list[str]]) -> list[str]:
    """The ids on a way of fallbacks from `start` to itself, `start` first; empty where there is none."""
    ways, seen = [[start]], {start}
    while ways:
        way = ways.pop(0)
        for name in after.get(way[-1], []):
            if name == start:
                return way
            if name not in seen:
                seen.add(name)
                ways.append([*way, name])
    return []


def _weights(document: Document, catalogue: Catalogue) -> None:
    for split in catalogue.splits:
        total = math.fsum(split.weights.values())
        if not math.isclose(total, 1, abs_tol=1e-9):
            document.fault(document.at(split, "weights"), f"together {total:g}, not 1", "weights that sum to 1")
        if split.shadow and split.shadow.model in split.weights:
            place = document.at(split, "shadow", "model")
            document.fault(place, f"{split.shadow.model} is a part of the split", "a model that is not")


def _adapters(document: Document, catalogue: Catalogue) -> None:
    """An adapter runs inside its base: in the same server, wherever it is served."""
    for model in catalogue.models:
        if model.adapter_of is None:
            continue
        place, base = document.at(model, "adapter_of"), catalogue.model(model.adapter_of)
        if base is None:
            if model.adapter_of not in document.names("models"):
                document.fault(place, f"there is no model {model.adapter_of}", "the id of its base model")
            continue
        if base.adapter_of:
            document.fault(place, f"{base.id} is an adapter itself", f"its base {base.adapter_of}")
        if missing := [each for each in model.environments if each not in base.environments]:
            document.fault(place, f"{base.id} is not in {', '.join(missing)}", "the environments of its base")
        _same_server(document, model, base)


def _same_server(document: Document, model: Model, base: Model) -> None:
    for name in ("kind", "pipeline", "application", "group"):
        here, there = getattr(model, name), getattr(base, name)
        if here != there:
            document.fault(document.at(model, name), f"{here} is not that of its base {base.id}", f"{there}")
    if model.engine_args:
        document.fault(document.at(model, "engine_args"), "an adapter has none", f"put them to {base.id}")


def _licence(document: Document, model: Model) -> None:
    try:
        known = canonicalize_license_expression(model.licence)
    except InvalidLicenseExpression:
        fix = "an identifier of spdx.org/licenses, or LicenseRef-NAME where SPDX has none"
        document.fault(document.at(model, "licence"), f"{model.licence!r} is not of SPDX", fix)
        return
    if known != model.licence:
        document.fault(document.at(model, "licence"), f"SPDX writes {model.licence} otherwise", known)


def _origin(document: Document, model: Model, root: Path) -> None:
    """Weights have a revision; what a stand-in has are none; what is in the image is pinned there."""
    revision = document.at(model, "revision")
    if model.source == STAND_IN:
        for name in ("revision", "files", "download"):
            if getattr(model, name):
                document.fault(document.at(model, name), "a stand-in has no weights", "take it out")
    elif model.revision is None:
        document.fault(revision, "is missing", "an immutable digest, 40 or 64 hex digits")
    if model.source.startswith(PACKAGE):
        if model.files:
            document.fault(document.at(model, "files"), "the image has them already", "take it out")
        if model.revision and model.revision not in _hashes(root, model.source.removeprefix(PACKAGE)):
            fix = f"the sha256 of a wheel or sdist of {model.source.removeprefix(PACKAGE)} in {PACKAGES}"
            document.fault(revision, f"{model.revision[:12]}… is not what the image installs", fix)
    elif model.source != STAND_IN and not model.files:
        document.fault(document.at(model, "files"), "is missing", "the files that the model cache downloads")
    paths = [file.path for file in model.files]
    for number, path in enumerate(paths):
        if path in paths[:number]:
            document.fault(document.at(model, "files", number, "path"), f"{path} stands twice", "take one out")


def _hashes(root: Path, requirement: str) -> set[str]:
    """The hashes of a requirement in the image's lock of models."""
    file = root / PACKAGES
    text = file.read_text("utf-8").replace("\\\n", " ") if file.is_file() else ""
    lines: Iterable[str] = (line for line in text.splitlines() if line.split(" ")[0] == requirement)
    return {found for line in lines for found in re.findall(r"--hash=sha256:([0-9a-f]{64})", line)}
