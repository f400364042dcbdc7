"""The renderings of the health rule, each run by an interpreter of its own language; and the table they are held to.

`cases()` and the evaluators are for every tier: the default one runs Lua and CEL as they are in Argo CD and Flux, the
delivery tier runs the same table through Argo CD's own binary (`argocd`).
"""

import functools
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import celpy
import yaml
from celpy.adapter import json_to_cel
from lupa.lua51 import LuaRuntime

from rayops.kube import Obj, Status, Verdict, dig, judge
from rayops.paths import ROOT

HEALTH = ROOT / "base" / "delivery" / "health"
HERE = Path(__file__).parent
EXPRESSIONS = HEALTH / "healthcheckexprs.yaml"
# Argo CD 3.5.7 opens these libraries of Lua and no other (util/lua/lua.go, runLuaWithResourceActionParameters).
ARGO_GLOBALS = frozenset(
    "_G _VERSION assert collectgarbage dofile error getfenv getmetatable ipairs load loadfile loadstring module "
    "newproxy next package pairs pcall print rawequal rawget rawset require select setfenv setmetatable table "
    "tonumber tostring type unpack xpcall".split()
)


@dataclass(frozen=True)
class Case:
    """One object and what every rendering must say of it. flux: what Flux's own look at the generation makes of it."""

    name: str
    obj: Obj
    verdict: Status
    says: str
    flux: str | None = field(default=None)

    def __str__(self) -> str:
        return self.name


@functools.cache
def cases() -> tuple[Case, ...]:
    """The truth table with its objects, by kind and name. KeyError when table and files are not the same set."""
    truth = yaml.safe_load((HERE / "truth.yaml").read_text())
    files: dict[str, Path] = {}
    for file in (file for folder in ("corpus", "constructed") for file in (HERE / folder).glob("*/*.yaml")):
        if (name := f"{file.parent.name}/{file.stem}") in files:
            raise KeyError(f"{name} was recorded: delete {file}")
        files[name] = file
    rows = {f"{kind.lower()}/{state}": row for kind, table in truth.items() for state, row in table.items()}
    if odd := files.keys() ^ rows.keys():
        raise KeyError(f"in the table or in the folders, but not in both: {sorted(odd)}")
    return tuple(
        Case(name, yaml.safe_load(files[name].read_text()), Status(row["verdict"]), row["says"], row.get("flux"))
        for name, row in rows.items()
    )


# Lua, as Argo CD runs it --------------------------------------------------------------------------------------------


def lua_script(kind: str) -> str:
    """The health script of a kind."""
    return (HEALTH / f"{kind.lower()}.lua").read_text()


@functools.cache
def _lua(script: str) -> tuple[Any, Any]:
    """A runtime with Argo CD's libraries alone, and the compiled script."""
    runtime = LuaRuntime(unpack_returned_tuples=True, register_eval=False, register_builtins=False)
    compiled = runtime.compile(script)
    # Without the string library a string has no methods either.
    runtime.execute("getmetatable('').__index = nil")
    for name in set(runtime.globals()) - ARGO_GLOBALS:
        runtime.globals()[name] = None
    return runtime, compiled


def lua(obj: Obj, script: str = "") -> Verdict:
    """What the Lua of the object's kind, or another script, says."""
    runtime, compiled = _lua(script or lua_script(obj["kind"]))
    runtime.globals()["obj"] = runtime.table_from(obj, recursive=True)
    found = compiled()
    return Verdict(Status(found["status"]), str(found["message"]))


def argocd(binary: Path, obj: Obj, folder: Path) -> Verdict:
    """What Argo CD's own evaluator says, offline. binary: argocd; folder: for two small files."""
    health = {f"resource.customizations.health.ray.io_{obj['kind']}": lua_script(obj["kind"])}
    metadata = {"name": "argocd-cm", "namespace": "argocd", "labels": {"app.kubernetes.io/part-of": "argocd"}}
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": health}
    (folder / "argocd-cm.yaml").write_text(yaml.safe_dump(config))
    (folder / "object.yaml").write_text(yaml.safe_dump(obj))
    command = [str(binary), "admin", "settings", "resource-overrides", "health", str(folder / "object.yaml")]
    command += ["--argocd-cm-path", str(folder / "argocd-cm.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    told = dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)
    if done.returncode or "STATUS" not in told:
        raise ValueError(f"argocd gave no verdict (exit {done.returncode}): {done.stdout}{done.stderr}")
    return Verdict(Status(told["STATUS"]), done.stdout.partition("MESSAGE: ")[2].strip())


# CEL, as Flux runs it -----------------------------------------------------------------------------------------------

ORDER = ("inProgress", "failed", "current")
STATUS_OF = {"inProgress": Status.PROGRESSING, "failed": Status.DEGRADED, "current": Status.HEALTHY}


def expressions(kind: str, file: Path = EXPRESSIONS) -> dict[str, str]:
    """The expressions of a kind, by name."""
    listed = yaml.safe_load(file.read_text())["spec"]["healthCheckExprs"]
    return {name: entry[name] for entry in listed if entry["kind"] == kind for name in ORDER}


@functools.cache
def _cel(expression: str) -> Callable[[dict[str, Any]], Any]:
    environment = celpy.Environment()
    return environment.program(environment.compile(expression)).evaluate


def cel(obj: Obj, rule: dict[str, str] | None = None) -> Status:
    """What the CEL of the object's kind says, in the order in which Flux asks; Suspended is Progressing for it.

    cel-go fails on an object without `status`, and Flux then calls it Unknown and looks again: Progressing.
    """
    if "status" not in obj:
        return Status.PROGRESSING
    rule = rule or expressions(obj["kind"])
    fields = {name: json_to_cel(value) for name, value in obj.items()}
    return next((STATUS_OF[name] for name in ORDER if bool(_cel(rule[name])(fields))), Status.PROGRESSING)


def flux(obj: Obj) -> Status:
    """As `cel`, with the look at the generation that Flux makes before it asks any expression."""
    observed, wanted = dig(obj, "status", "observedGeneration"), dig(obj, "metadata", "generation")
    unseen = observed is not None and wanted is not None and observed != wanted
    return Status.PROGRESSING if unseen else cel(obj)


def python(obj: Obj) -> Verdict:
    """What rayops says."""
    return judge(obj)


def seen_by_cel(status: Status) -> Status:
    """A verdict in the three words that CEL has: what is suspended is not there yet."""
    return Status.PROGRESSING if status is Status.SUSPENDED else status
