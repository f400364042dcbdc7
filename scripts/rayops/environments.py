"""Every pipeline in every environment: its sizes, its capabilities, the images it runs, how far it is behind.

Read from what the overlays render and from the components that they list; it stands in overlays/README.md. An
environment gets its images from the one before it in PROMOTION.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rayops.errors import RayopsError
from rayops.paths import ROOT
from rayops.render import Obj, capabilities_of, containers, of_kind, repository

PAGE = ROOT / "overlays" / "README.md"
# How images travel. An environment that is not here (local, one of your own) is promoted from nowhere.
PROMOTION = ("dev", "staging", "prod")
NOT_YET = "sha256:" + "0" * 64
HEADER = ("pipeline", "environment", "head", "CPU workers", "GPU workers", "quota", "version", "drift")


@dataclass(frozen=True)
class Group:
    """A worker group. workers: fewest and most; each: what one asks for (`2 CPU, 4Gi`)."""

    workers: tuple[int, int]
    each: str

    def __str__(self) -> str:
        return f"{'-'.join(map(str, dict.fromkeys(self.workers)))} of {self.each}" if self.workers[1] else "none"


@dataclass(frozen=True)
class Placed:
    """A pipeline in an environment. versions: by name of the image without its registry, a tag or a digest."""

    pipeline: str
    environment: str
    head: str
    groups: dict[str, Group]
    quota: dict[str, str]
    capabilities: tuple[str, ...]
    versions: dict[str, str]


def order(environment: str) -> tuple[int, str]:
    """Where an environment stands: local first, then as images travel, then the others by name."""
    known = ("local", *PROMOTION)
    return (known.index(environment) if environment in known else len(known), environment)


def place(overlay: Path, objects: list[Obj]) -> Placed:
    """The facts of an overlay that renders `objects`. RayopsError where there is no single RayService or RayJob."""
    running = [*of_kind(objects, "RayService"), *of_kind(objects, "RayJob")]
    if len(running) != 1:
        raise RayopsError(f"{overlay}: expected one RayService or RayJob, found {len(running)}")
    spec = running[0]["spec"]
    cluster = spec.get("rayClusterConfig") or spec["rayClusterSpec"]
    hard = [quota["spec"]["hard"] for quota in of_kind(objects, "ResourceQuota")]
    return Placed(
        pipeline=overlay.name,
        environment=overlay.parent.name,
        head=_asks(cluster["headGroupSpec"]),
        groups={group["groupName"]: _group(group) for group in cluster["workerGroupSpecs"]},
        quota={name: str(value) for name, value in hard[0].items()} if hard else {},
        capabilities=tuple(capabilities_of(overlay)),
        versions=_versions(objects),
    )


def drift(placed: Placed, source: Placed | None) -> str:
    """How `placed` differs from the overlay that it is promoted from: `same`, what is behind or differs, or `-`."""
    if source is None:
        return "-"
    found = []
    both = placed.versions.keys() & source.versions.keys()
    if any(not _is_digest(source.versions[name]) for name in both):
        found.append(f"{source.environment} runs a tag")
    else:
        behind = sum(placed.versions[name] != source.versions[name] for name in both)
        found += [f"{behind} digest{'s' * (behind > 1)} behind"] if behind else []
    differing = [name for name in placed.capabilities if name not in source.capabilities]
    differing += [f"no {name}" for name in source.capabilities if name not in placed.capabilities]
    if differing:
        found.append(f"component differs: {', '.join(differing)}")
    return "; ".join(found) or "same"


def version(versions: Iterable[str]) -> str:
    """What runs, short: tags and the first twelve digits of digests, each once."""
    return ", ".join(dict.fromkeys(_short(each) for each in versions))


def table(found: list[Placed]) -> str:
    """One line of Markdown for each pipeline and environment, by pipeline, in the order in which images travel."""
    known = {(each.pipeline, each.environment): each for each in found}
    lines = [f"| {' | '.join(HEADER)} |", f"|{'---|' * len(HEADER)}"]
    for each in sorted(found, key=lambda placed: (placed.pipeline, order(placed.environment))):
        source = known.get((each.pipeline, _before(each.environment)))
        cpu, gpu = (str(each.groups.get(name, "none")) for name in ("cpu", "gpu"))
        others = [f"{name}: {group}" for name, group in each.groups.items() if name not in ("cpu", "gpu")]
        cells = [each.pipeline, each.environment, each.head, "<br>".join([cpu, *others]), gpu]
        cells += [_quota(each.quota), version(each.versions.values()), drift(each, source)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def capability_table(found: list[Placed]) -> str:
    """Capability by environment: which pipelines have it."""
    environments = sorted({each.environment for each in found}, key=order)
    names = dict.fromkeys(
        name for env in reversed(environments) for each in _of(found, env) for name in each.capabilities
    )
    lines = [f"| capability | {' | '.join(environments)} |", f"|{'---|' * (len(environments) + 1)}"]
    for name in names:
        cells = (_having(name, _of(found, environment)) for environment in environments)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def page_text(found: list[Placed]) -> str:
    """What stands between the markers of overlays/README.md."""
    return f"{table(found)}\n\n{capability_table(found)}"


def _of(found: list[Placed], environment: str) -> list[Placed]:
    return [each for each in found if each.environment == environment]


def _having(name: str, placed: list[Placed]) -> str:
    having = [each.pipeline for each in placed if name in each.capabilities]
    missing = [each.pipeline for each in placed if name not in each.capabilities]
    if not missing:
        return "all"
    # The shorter of the two ways to say it.
    return f"all but {', '.join(missing)}" if len(missing) < len(having) else ", ".join(having) or "-"


def _before(environment: str) -> str:
    index = PROMOTION.index(environment) if environment in PROMOTION else 0
    return PROMOTION[index - 1] if index else ""


def _group(group: Obj) -> Group:
    return Group((int(group["minReplicas"]), int(group["maxReplicas"])), _asks(group))


def _asks(group: Obj) -> str:
    asked = group["template"]["spec"]["containers"][0]["resources"]["requests"]
    gpus = [f"{value} {'GPU' if name == 'nvidia.com/gpu' else name}" for name, value in asked.items() if "/" in name]
    return ", ".join([*gpus, f"{asked['cpu']} CPU", str(asked["memory"])])


def _quota(hard: dict[str, str]) -> str:
    if not hard:
        return "none"
    named = {"requests.nvidia.com/gpu": " GPU", "requests.cpu": " CPU", "requests.memory": "", "pods": " pods"}
    return ", ".join(f"{hard[name]}{unit}" for name, unit in named.items() if hard.get(name, "0") != "0")


def _versions(objects: list[Obj]) -> dict[str, str]:
    found = {}
    for obj in objects:
        for place, container in containers(obj):
            if place.startswith("gpu/") and not _runs(obj, "gpu"):
                continue
            name, version_ = _split(container["image"])
            found[name] = version_
    return found


def _runs(obj: Obj, group: str) -> bool:
    spec = obj.get("spec") or {}
    cluster = spec.get("rayClusterConfig") or spec.get("rayClusterSpec") or {}
    return any(g["groupName"] == group and int(g["maxReplicas"]) for g in cluster.get("workerGroupSpecs") or [])


def _split(image: str) -> tuple[str, str]:
    name = repository(image)
    tag, _, digest = image.removeprefix(name).partition("@")
    return name.rpartition("/")[2], digest or tag.removeprefix(":") or "latest"


def _is_digest(version_: str) -> bool:
    return re.fullmatch(r"sha256:[0-9a-f]{64}", version_) is not None


def _short(version_: str) -> str:
    if version_ == NOT_YET:
        return "nothing promoted"
    return f"`{version_[7:19]}`" if _is_digest(version_) else f"`{version_}`"
