"""Leave packages of a Go module out of a build: what stands below scripts/tools/MODULE/without takes their place.

`without/github.com/a/b/pkg/c/*.go` is the whole package github.com/a/b/pkg/c of this build. Go replaces files by its
flag -overlay, but refuses those in its module cache; so the module is reached by a link outside of it, which a copy of
go.mod with one more `replace` names. No source is copied or changed.
"""

import json
import re
from pathlib import Path

from rayops.errors import RayopsError
from rayops.paths import TOOLS

FOLDER = "without"


def packages(module: str) -> dict[str, Path]:
    """Import path → folder of what takes its place, of scripts/tools/MODULE."""
    root = TOOLS / module / FOLDER
    return {str(file.parent.relative_to(root)): file.parent for file in sorted(root.rglob("*.go"))}


def owner(package: str, go_mod: str) -> str:
    """The module of go.mod that holds a package: the longest path. Raises RayopsError where none does."""
    required: list[str] = re.findall(r"^\t?(?:require )?(\S+) v\S+", go_mod, re.MULTILINE)
    holding = [path for path in required if package == path or package.startswith(f"{path}/")]
    if not holding:
        raise RayopsError(f"{FOLDER}/{package}: no module of go.mod holds it", hint="was it renamed?")
    return max(holding, key=len)


def flags(module: str, sources: dict[str, Path], work: Path) -> list[str]:
    """Flags of `go build` for scripts/tools/MODULE, with its links and two files in the folder work.

    sources: the folder of each module that `owner` names. Raises RayopsError for a package that the module has not.
    """
    go_mod = (TOOLS / module / "go.mod").read_text("utf-8")
    links = {path: work / path.replace("/", "_") for path in sources}
    for path, link in links.items():
        link.unlink(missing_ok=True)
        link.symlink_to(sources[path])
    replaced: dict[str, str] = {}
    for package, instead in packages(module).items():
        path = owner(package, go_mod)
        folder = links[path] / package.removeprefix(path).lstrip("/")
        found = sorted(folder.glob("*.go"))
        if not found:
            raise RayopsError(f"{FOLDER}/{package}: {path} has no such package", hint="was it moved or renamed?")
        replaced |= dict.fromkeys(map(str, found), "")
        replaced |= {str(folder / file.name): str(file) for file in sorted(instead.glob("*.go"))}
    overlay, modfile = work / "overlay.json", work / "go.mod"
    overlay.write_text(json.dumps({"Replace": replaced}, indent=1), "utf-8")
    lines = [f"replace {path} => {link}\n" for path, link in links.items()]
    modfile.write_text("".join([go_mod, "\n", *lines]), "utf-8")
    modfile.with_suffix(".sum").write_text((TOOLS / module / "go.sum").read_text("utf-8"), "utf-8")
    return ["-overlay", str(overlay), "-modfile", str(modfile)]
