"""An environment made from another one: all its overlays, its delivery, its share of the files beside it."""

import re
from pathlib import Path

from rayops.errors import RayopsError
from rayops.models import sync
from rayops.models.join import with_environment
from rayops.new import names
from rayops.new.work import Work

# Where the name of an environment is another word: Kustomize's annotation, images and tags, device files, hosts.
OTHER_WORDS = re.compile(
    r"local-config|(?<![\w/])local/\w[\w.-]*(?::\w[\w.-]*)?|newTag: \S+"
    r"|(?<![\w.])/dev/(?:shm|null|tcp|nvidia)\S*|\.(?:svc|cluster)\.local\b"
)
README = """\
# overlays/{name}

Made from `overlays/{source}` by `rayops new env`: the same components, images and numbers, until you change them.
`kubectl apply -k overlays/{name}` is the whole environment, `kubectl apply -k overlays/{name}/PIPELINE` one pipeline.

Yours, once each: the registry in `environment/images`, the numbers in each `sizing.env`, what the operator needs in
`operator-values.yaml`, where Argo CD or Flux find it in `delivery/settings/delivery.env`, as far as these are there.
`rayops promote --from {source} --to {name}` brings digests.
"""


def make(root: Path, name: str, source: str) -> Work:
    """Make an environment. RayopsError, and nothing made, when the name is wrong or taken, or a render fails."""
    names.check_environment(root, name, source)
    old, new = root / "overlays" / source, root / "overlays" / name
    with Work(root) as work:
        work.copy(old, new, lambda text, _: renamed(text, source, name))
        if (old / "README.md").is_file():
            work.write(new / "README.md", README.format(name=name, source=source))
        beside = root / "overlays" / ".sops.yaml"
        if beside.is_file():
            work.change(beside, with_rule(beside.read_text("utf-8"), source, name))
        _models(work, name, source)
        pipelines = sorted(file.parent.name for file in new.glob("*/sizing.env"))
        work.finish((f"{source}/{pipeline}", f"{name}/{pipeline}") for pipeline in pipelines)
    return work


def _models(work: Work, name: str, source: str) -> None:
    """The models of the source, and what is written from the catalogue."""
    catalogue = work.root / sync.CATALOGUE
    if not catalogue.is_file():
        return
    work.change(catalogue, with_environment(catalogue.read_text("utf-8"), source, name))
    made = sync.plan(work.root)
    if made.faults:
        raise RayopsError(str(made.faults[0]), hint=f"mend it; {len(made.faults)} in all: rayops models sync --check")
    for file in (work.root / fault.file for fault in made.stale()):
        (work.change if file.is_file() else work.write)(file, made.texts[file])


def renamed(text: str, source: str, name: str) -> str:
    """The text with another environment's name wherever the source's stands as a word of its own."""
    pattern = re.compile(rf"({OTHER_WORDS.pattern})|(?<![A-Za-z0-9_]){re.escape(source)}(?![A-Za-z0-9_])")
    return pattern.sub(lambda found: found[0] if found[1] else name, text)


def with_rule(text: str, source: str, name: str) -> str:
    """A list of rules with a copy of each one about the source, for another environment, right below it."""
    rules = re.split(r"^(?=- )", text, flags=re.MULTILINE)
    found = []
    for rule in rules:
        found.append(rule)
        if rule.startswith("- ") and re.search(rf"\^{re.escape(source)}/", rule):
            lines = rule if rule.endswith("\n") else f"{rule}\n"
            found[-1:] = [lines, renamed(lines, source, name)]
    return "".join(found)
