"""What a promotion changes in files: digests of a pipeline and its choices, or the versions of the platform under it.

Pipelines and platform never go in one promotion. On its first look after an upgrade the operator writes every running
RayCluster anew from its RayService; a new image that arrives with it is stored there and no new cluster is made: it
would not roll out (KubeRay 1.6.2, shouldUpdateCluster).
"""

import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rayops.environments import NOT_YET, PROMOTION
from rayops.errors import RayopsError
from rayops.promote import edit
from rayops.render import Obj, containers, of_kind, render, repository

CHOICES = ("resources", "components")
IMAGES = Path("environment/images/kustomization.yaml")
DELIVERY = Path("delivery/settings/delivery.env")
# The operator and its CRDs, which never go apart.
OPERATOR = ("chartVersion", "kuberayRevision")


@dataclass(frozen=True)
class Edit:
    """One value of one file. file: relative to the root; what: the image's name, or the key."""

    file: Path
    what: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.file}: {self.what} {_short(self.old)} → {_short(self.new)}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line[:19] + "…" if line.startswith("sha256:") else line


def environments(root: Path) -> list[str]:
    """The folders below overlays that are environments."""
    return sorted(file.parent.name for file in (root / "overlays").glob("*/kustomization.yaml"))


def check_way(root: Path, source: str, target: str, *, i_know: bool) -> None:
    """RayopsError for an environment that is not there, the same twice, or a step over one of PROMOTION.

    An environment that is not in PROMOTION may take from any, and gives to one of them only by i_know.
    """
    there = environments(root)
    for option, name in (("--from", source), ("--to", target)):
        if name not in there:
            raise RayopsError(f"{option} {name}: no such environment", hint=f"there are: {', '.join(there)}")
    if source == target:
        raise RayopsError(f"--from and --to are both {source}", hint="name two environments")
    if target not in PROMOTION or i_know:
        return
    before = PROMOTION[PROMOTION.index(target) - 1] if PROMOTION.index(target) else ""
    if source != before:
        hint = f"--from {before}" if before else f"nothing is promoted to {target}"
        raise RayopsError(f"{source} → {target} skips the way {' → '.join(PROMOTION)}", hint=f"{hint}, or --i-know")


def pipelines(root: Path, environment: str) -> list[str]:
    """The pipelines of an environment, jobs included."""
    return sorted(file.parent.name for file in (root / "overlays" / environment).glob("*/sizing.env"))


def is_promoted(root: Path, environment: str, pipeline: str) -> bool:
    """Whether a pipeline's overlay runs anything: tags, or at least one digest that is not the placeholder."""
    file = root / "overlays" / environment / pipeline / "kustomization.yaml"
    found = edit.digests(edit.read(file))
    return not found or set(found.values()) != {NOT_YET}


def chosen(root: Path, source: str, names: Iterable[str]) -> list[str]:
    """The named pipelines, or every service that was promoted so far. RayopsError for one that is not there."""
    there = pipelines(root, source)
    for name in names:
        if name not in there:
            raise RayopsError(
                f"--pipeline {name}: overlays/{source}/{name} is missing", hint=f"there are: {', '.join(there)}"
            )
    return list(dict.fromkeys(names)) or [
        name for name in there if not is_job(root, source, name) and is_promoted(root, source, name)
    ]


def is_job(root: Path, environment: str, pipeline: str) -> bool:
    """Whether a pipeline is a RayJob: it is promoted only by name, after it has succeeded once."""
    return "base/rayjob" in (root / "overlays" / environment / pipeline / "kustomization.yaml").read_text("utf-8")


def runs(obj: Obj) -> dict[str, set[str]]:
    """Repository → references of all images that an object may run; a worker group of at most 0 workers runs none."""
    spec = obj.get("spec") or {}
    cluster = spec.get("rayClusterConfig") or spec.get("rayClusterSpec") or {}
    idle = {group["groupName"] for group in cluster.get("workerGroupSpecs") or [] if not group.get("maxReplicas", 1)}
    found: dict[str, set[str]] = {}
    for place, container in containers(obj):
        if place.partition("/")[0] not in idle:
            found.setdefault(repository(container["image"]), set()).add(container["image"])
    return found


def ray_object(root: Path, environment: str, pipeline: str) -> Obj:
    """The RayService, or RayJob, of a pipeline as Git has it."""
    objects = render(root / "overlays" / environment / pipeline)
    found = [*of_kind(objects, "RayService"), *of_kind(objects, "RayJob")]
    if len(found) != 1:
        raise RayopsError(f"overlays/{environment}/{pipeline}: {len(found)} RayServices and RayJobs, expected one")
    return found[0]


def pipeline_edits(root: Path, source: str, target: str, name: str, given: Mapping[str, str]) -> list[Edit]:
    """The edits of one pipeline's overlay. given: digests by image for a source that runs tags.

    RayopsError where the target has no such overlay, or where an image that runs has no digest yet.
    """
    file = Path("overlays") / target / name / "kustomization.yaml"
    if not (root / file).is_file():
        raise RayopsError(f"{file} is missing", hint=f"copy overlays/{source}/{name} and set its numbers")
    theirs = edit.read(root / "overlays" / source / name / "kustomization.yaml")
    ours = edit.read(root / file)
    known = {**edit.digests(theirs), **given}
    running = runs(ray_object(root, target, name))
    found = []
    for image, old in edit.digests(ours).items():
        new = known.get(image, NOT_YET)
        if new == NOT_YET:
            if image in running:
                raise _no_digest(source, name, image)
            continue  # no group of the target has room for it: it keeps what it has
        if new != old:
            found.append(Edit(file, image, old, new))
    if given and (strange := set(given) - set(edit.digests(ours))):
        raise RayopsError(f"--digest: {file} has no digest for {', '.join(sorted(strange))}")
    # An environment that runs tags is built otherwise on purpose (one replica, GPUs): its choices stay its own.
    moved = CHOICES if edit.digests(theirs) else ()
    return found + [
        Edit(file, key, edit.section(ours, key) or "", edit.section(theirs, key) or f"{key}: []\n")
        for key in moved
        if edit.value(theirs, key) != edit.value(ours, key)
    ]


def _no_digest(source: str, name: str, image: str) -> RayopsError:
    if source == PROMOTION[0] or source not in PROMOTION:
        hint = f"--digest {image}=sha256:…, or a --status with the pods that run it"
    else:
        hint = f"rayops promote --from {PROMOTION[PROMOTION.index(source) - 1]} --to {source} --pipeline {name}"
    return RayopsError(f"{source}/{name}: {image} has no digest yet (the placeholder of 64 zeros, or a tag)", hint=hint)


def platform_edits(root: Path, source: str, target: str) -> list[Edit]:
    """The edits under the pipelines: digests of the environment's own images (Redis), the operator's chart and CRDs."""
    folder, other = Path("overlays") / target, Path("overlays") / source
    found = []
    if (root / other / IMAGES).is_file() and (root / folder / IMAGES).is_file():
        theirs = edit.digests(edit.read(root / other / IMAGES))
        for image, old in edit.digests(edit.read(root / folder / IMAGES)).items():
            new = theirs.get(image, old)
            if new == NOT_YET != old:
                raise RayopsError(f"{other / IMAGES}: {image} is the placeholder of 64 zeros", hint="name its digest")
            if new != old:
                found.append(Edit(folder / IMAGES, image, old, new))
    if (root / other / DELIVERY).is_file() and (root / folder / DELIVERY).is_file():
        for name in OPERATOR:
            new_value = edit.setting((root / other / DELIVERY).read_text("utf-8"), name)
            old_value = edit.setting((root / folder / DELIVERY).read_text("utf-8"), name)
            if new_value and old_value and new_value != old_value:
                found.append(Edit(folder / DELIVERY, name, old_value, new_value))
    return found


def write(root: Path, edits: Iterable[Edit]) -> None:
    """Change the files below a root; every byte beside the values stays."""
    for each in edits:
        file = root / each.file
        text = file.read_text("utf-8")
        if each.what in CHOICES:
            text = edit.set_section(text, each.what, each.new)
        elif each.file.suffix == ".env":
            text = edit.set_setting(text, each.what, each.new)
        else:
            text = edit.set_digest(text, each.what, each.new)
        file.write_text(text, "utf-8")


def check_clean(root: Path, edits: Iterable[Edit]) -> None:
    """RayopsError when a file that will be changed has changes that Git does not know yet."""
    files = sorted({str(each.file) for each in edits})
    command = ["git", "-C", str(root), "status", "--porcelain", "--", *files]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    if said.returncode != 0:
        raise RayopsError(f"{root} is no Git checkout that can be asked", hint="--allow-dirty")
    if said.stdout.strip():
        dirty = ", ".join(line[3:] for line in said.stdout.splitlines())
        raise RayopsError(f"{dirty}: changed and not committed", hint="commit it, or --allow-dirty")
