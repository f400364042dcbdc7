"""Cases as data: tests/lint/cases/<rule-id>.yaml, each a list of

    - bad: what is wrong, in words            # or `good: what is right all the same`
      kind: RayCluster                        # of the object that is changed; left out: RayService
      set: {$head/serviceType: NodePort}      # changes of base.yaml; null takes a field away
      with: [other-rule]                      # what else cannot but be found
      seen: false                             # admission cannot see it, though it sees the rule
      and: [{apiVersion: v1, kind: Secret…}]  # objects beside it
      alone: true                             # without base.yaml's PodDisruptionBudget
      files: {base/kustomization.yaml: "…"}   # files beside it; with `build`, instead of an object
      build: overlay                          # the folder of it that is looked at
      config: "lint: {…}"                     # its .rayops.yaml

Paths have `/` between keys, numbers for items of lists, `~1` for a slash in a key, and may start with a name of PLACES.
"""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
CASES = HERE / "cases"
KINDS = ("RayService", "RayCluster", "RayJob")
CLUSTER = {"RayService": "spec/rayClusterConfig", "RayCluster": "spec", "RayJob": "spec/rayClusterSpec"}
PLACES = {
    "$cluster": "",
    "$head": "headGroupSpec",
    "$ray": "headGroupSpec/template/spec/containers/0",
    "$small": "workerGroupSpecs/0",
    "$large": "workerGroupSpecs/1",
    "$worker": "workerGroupSpecs/0/template/spec/containers/0",
}
SERVE = "$serve"


@dataclass(frozen=True)
class Case:
    """rule: the id whose file it is of. good: whether nothing may be found."""

    rule: str
    good: bool
    what: str
    given: dict[str, Any]

    @property
    def wanted(self) -> set[str]:
        """The ids of what must be found, and nothing else."""
        return set() if self.good else {self.rule, *self.given.get("with", [])}

    @property
    def allowed(self) -> set[str]:
        """Ids that may be found in a good case beside its rule."""
        return set(self.given.get("with", []))

    @property
    def is_tree(self) -> bool:
        """Whether it is files instead of an object."""
        return "build" in self.given

    def objects(self) -> list[dict[str, Any]]:
        """The object with its changes, and those beside it."""
        service, budget = copy.deepcopy(_base())
        obj = changed(of_kind(service, self.given.get("kind", "RayService")), self.given.get("set") or {})
        beside = [] if self.given.get("alone") else [budget]
        return [obj, *beside, *self.given.get("and", [])]

    def write(self, folder: Path) -> None:
        """Its files below a folder, or its objects as one manifest; and its configuration."""
        for name, text in (self.given.get("files") or {}).items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text if isinstance(text, str) else yaml.safe_dump_all(text, sort_keys=False))
        if not self.is_tree:
            (folder / "manifest.yaml").write_text(yaml.safe_dump_all(self.objects(), sort_keys=False))
        if "config" in self.given:
            (folder / ".rayops.yaml").write_text(self.given["config"])


def read() -> list[Case]:
    """Every case, by file and order."""
    found = []
    for file in sorted(CASES.glob("*.yaml")):
        for given in yaml.safe_load(file.read_text()):
            good = "good" in given
            found.append(Case(file.stem, good, given["good" if good else "bad"], given))
    return found


def of_kind(service: dict[str, Any], kind: str) -> dict[str, Any]:
    """base.yaml's RayService, or a RayCluster or RayJob with the same cluster."""
    if kind == "RayService":
        return service
    cluster = service["spec"]["rayClusterConfig"]
    job = {"entrypoint": "python -m answers", "shutdownAfterJobFinishes": True, "rayClusterSpec": cluster}
    return {**service, "kind": kind, "spec": cluster if kind == "RayCluster" else job}


def changed(obj: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The object with fields set, or taken away where the value is null."""
    serve = yaml.safe_load(obj["spec"].get("serveConfigV2") or "{}")
    for path, value in changes.items():
        first, _, rest = path.partition("/")
        if first == SERVE:
            _set(serve, rest, value)
        elif first in PLACES:
            _set(obj, "/".join(filter(None, [CLUSTER[obj["kind"]], PLACES[first], rest])), value)
        else:
            _set(obj, path, value)
    if any(path.startswith(SERVE) for path in changes):
        obj["spec"]["serveConfigV2"] = yaml.safe_dump(serve, sort_keys=False)
    return obj


def _set(node: Any, path: str, value: Any) -> None:
    *parents, last = [part.replace("~1", "/") for part in path.split("/")]
    for part in parents:
        node = node[int(part)] if isinstance(node, list) else node.setdefault(part, {})
    if isinstance(node, list):
        position = len(node) if last == "-" else int(last)
        node[position : position + 1] = [] if value is None else [value]
    elif value is None:
        node.pop(last, None)
    else:
        node[last] = value


def _base() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((HERE / "base.yaml").read_text()))
