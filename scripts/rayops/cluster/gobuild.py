"""Build programs from the Go modules that scripts/tools pins.

Go itself comes from PATH when it is new enough, else from the pinned wheel in scripts/requirements/go.txt.
"""

import json
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from rayops import proc
from rayops.cluster import without
from rayops.errors import RayopsError
from rayops.paths import CACHE, ROOT, TOOLS, content_hash
from rayops.versions import pin

REQUIREMENT = ROOT / "scripts" / "requirements" / "go.txt"
LOG = CACHE / "logs" / "go.log"
FLAGS = ("-mod=readonly", "-trimpath", "-buildvcs=false")


def go() -> Path:
    """A Go toolchain of at least GO_VERSION, installed into the cache when PATH has none."""
    on_path = proc.find("go")
    if on_path is not None and _new_enough(on_path):
        return on_path
    home = CACHE / f"go-{content_hash(REQUIREMENT)}"
    if not home.exists():
        unfinished = home.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "--target", str(unfinished)]
        proc.run([*pip, "-r", REQUIREMENT], log=LOG)
        unfinished.rename(home)
    return home / "go" / "bin" / "go"  # bin/go beside it is a wrapper that needs the package on Python's path


def build(
    module: str,
    packages: Sequence[str],
    target: Path,
    *,
    symbols: dict[str, str] | None = None,
    name: str | None = None,
) -> None:
    """Compile packages of scripts/tools/MODULE into the folder target, static and stripped.

    What stands below its folder `without` takes the place of packages of its dependencies (rayops.cluster.without).
    symbols: linker values such as {"main.version": "v1"}. name: file name of a single program. Raises RayopsError with
    the compiler's error and the log.
    """
    target.mkdir(parents=True, exist_ok=True)
    flags = " ".join(["-s", "-w", *(f"-X {symbol}={value}" for symbol, value in (symbols or {}).items())])
    output = str(target / name) if name else f"{target}/"
    proc.run(
        [go(), "build", *FLAGS, *_left_out(module), "-v", "-ldflags", flags, "-o", output, *packages],
        cwd=TOOLS / module,
        env={"CGO_ENABLED": "0", "GOFLAGS": ""},
        log=LOG,
        hint="the Go module proxy must be reachable, or the module cache filled",
    )


def _left_out(module: str) -> list[str]:
    """The flags that leave packages out; none for a module without a folder `without`."""
    if not (left_out := without.packages(module)):
        return []
    work = CACHE / "without" / module
    work.mkdir(parents=True, exist_ok=True)
    go_mod = (TOOLS / module / "go.mod").read_text("utf-8")
    owners = {without.owner(package, go_mod) for package in left_out}
    return without.flags(module, {path: archive_directory(module, path) for path in sorted(owners)}, work)


def module_directory(module: str, path: str) -> Path:
    """Folder of a dependency's source in the module cache, downloaded when it is not there."""
    environment = {"GOFLAGS": "-mod=readonly"}
    proc.run([go(), "mod", "download", path], cwd=TOOLS / module, env=environment, log=LOG)
    return Path(proc.run([go(), "list", "-m", "-f", "{{.Dir}}", path], cwd=TOOLS / module, env=environment).strip())


def archive_directory(module: str, path: str) -> Path:
    """Folder of a module that scripts/tools/MODULE/go.mod names, held against its go.sum; downloaded when missing.

    Unlike `module_directory` it asks for no other module, so it also serves modules whose own requirements cannot be
    resolved. Raises RayopsError when go.mod does not name it or the archive is not the one of go.sum.
    """
    folder, environment = TOOLS / module, {"GOFLAGS": "-mod=readonly"}
    required = json.loads(proc.run([go(), "mod", "edit", "-json"], cwd=folder))["Require"] or []
    version = next((entry["Version"] for entry in required if entry["Path"] == path), None)
    if version is None or f"{path} {version} h1:" not in (folder / "go.sum").read_text():
        raise RayopsError(f"scripts/tools/{module}/go.mod and go.sum do not pin {path}", hint="name it in both")
    answer = proc.run([go(), "mod", "download", "-json", f"{path}@{version}"], cwd=folder, env=environment)
    return Path(json.loads(answer)["Dir"])


def _new_enough(program: Path) -> bool:
    try:
        found = re.search(r"go(\d+)\.(\d+)", proc.run([program, "version"]))
    except RayopsError:  # a version manager's shim without a version, say
        return False
    wanted = tuple(int(part) for part in pin("GO_VERSION").split(".")[:2])
    return found is not None and (int(found[1]), int(found[2])) >= wanted
