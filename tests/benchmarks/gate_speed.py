"""How long the gate before a merge takes: this repository and 100 generated overlays, cold and warm.

    .venv/bin/python -m tests.benchmarks.gate_speed --runs 5 --out .evidence/gate-speed.json

hyperfine (Debian: apt-get install hyperfine) measures each command of COMMANDS. "cold" empties the caches of renders,
findings and answers before each run; programs stay built. Beside them: one kustomize process for each overlay, one
after the other and two at a time, which is what the gate was before. The overlays are generated from this repository's
own into a temporary folder. Prints medians in seconds, ratios, and the goals; nothing is asserted: another load is
another figure.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rayops import proc
from rayops.cluster import tools
from rayops.errors import RayopsError
from rayops.paths import CACHE, ROOT
from rayops.render import discover

RAYOPS = f"{sys.executable} -m rayops"
# What a fresh clone has not: renders, findings, KubeRay's answers. Programs and schemas stay built.
KEPT = (CACHE / "render", CACHE / "findings", CACHE / "kuberay" / "answers")
OVERLAYS = 100


@dataclass(frozen=True)
class Command:
    """One line of the benchmark. text: {root}, {many}: this repository, the generated one. goal_s: 0 for none."""

    name: str
    text: str
    goal_s: float = 0.0
    cold: bool = False


COMMANDS = (
    Command("help", f"{RAYOPS} --help", 0.2),
    Command("render, cold", f"{RAYOPS} render --root {{root}}", 3.0, cold=True),
    Command("render, warm", f"{RAYOPS} render --root {{root}}", 1.0),
    Command("lint, cold", f"{RAYOPS} lint --root {{root}}", 3.0, cold=True),
    Command("lint, warm", f"{RAYOPS} lint --root {{root}}", 1.0),
    Command("review, warm", f"{RAYOPS} review --root {{root}} --base HEAD", 0.0),
    Command("100 overlays, lint, cold", f"{RAYOPS} lint --root {{many}} || true", 10.0, cold=True),
    Command("100 overlays, cold", f"{RAYOPS} render --root {{many}}", 10.0, cold=True),
    Command("100 overlays, warm", f"{RAYOPS} render --root {{many}}"),
    Command("kustomize, a process each", "{folders} | xargs -n 1 {kustomize} build > /dev/null"),
    Command("kustomize, two at a time", "{folders} | xargs -n 1 -P 2 {kustomize} build > /dev/null"),
)
# name of the slower one → the faster one: "x times faster" is what people ask for.
RATIOS = (
    ("kustomize, a process each", "render, cold"),
    ("kustomize, two at a time", "render, cold"),
    ("kustomize, a process each", "render, warm"),
)


def generate(root: Path, count: int = OVERLAYS) -> None:
    """A repository with this one's apps and base, and `count` overlays: copies of the four environments' pipelines."""
    for folder in ("apps", "base", "overlays"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
    pipelines = sorted(file.parent for file in (root / "overlays").glob("*/*/sizing.env"))
    for number in range(count - len(pipelines)):
        like = pipelines[number % len(pipelines)]
        shutil.copytree(like, like.with_name(f"{like.name}-{number}"))
    for sums in (root / "overlays").glob("*/kustomization.yaml"):
        sums.unlink()


def measure(command: Command, text: str, runs: int) -> dict[str, float]:
    """Median, least and most seconds of a command, and those of all its processors, which other load changes less.

    By hyperfine, after one run that does not count.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result.json"
        options: list[str | Path] = ["--runs", str(runs), "--warmup", "1", "--export-json", out, "--style", "none"]
        if command.cold:
            options += ["--prepare", f"rm -rf {' '.join(map(str, KEPT))}"]
        proc.run(["hyperfine", *options, text], hint="apt-get install hyperfine", timeout=3600)
        result = json.loads(out.read_text())["results"][0]
    times: list[float] = result["times"]
    processors = result["user"] + result["system"]
    return {"median": statistics.median(times), "least": min(times), "most": max(times), "processors": processors}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", action="append", help="names of commands; may be given again")
    parser.add_argument("--out", type=Path, help="JSON file")
    options = parser.parse_args(arguments)
    if proc.find("hyperfine") is None:
        raise SystemExit("hyperfine is not installed → apt-get install hyperfine")
    with tempfile.TemporaryDirectory(prefix="rayops-gate-") as folder:
        many = Path(folder)
        generate(many)
        folders = discover.find(ROOT).kustomize
        listed = many / "folders.txt"
        listed.write_text("".join(f"{ROOT / each}\n" for each in folders))
        values = {"root": ROOT, "many": many, "kustomize": tools.path("kustomize"), "folders": f"cat {listed}"}
        chosen = [each for each in COMMANDS if not options.only or each.name in options.only]
        found = {each.name: measure(each, each.text.format(**values), options.runs) for each in chosen}
        built = len(discover.find(many).kustomize)
    result: dict[str, Any] = {
        "runs": options.runs,
        "overlays": {"repository": len(folders), "generated": built},
        "seconds": {name: {key: round(value, 3) for key, value in times.items()} for name, times in found.items()},
        "ratios": ratios(found),
        "cores": os.cpu_count(),
        "load": [round(each, 1) for each in os.getloadavg()],
        "machine": platform.processor() or platform.machine(),
    }
    for each in chosen:
        goal = f"   goal {each.goal_s:g}" if each.goal_s else ""
        seen = found[each.name]
        print(f"{each.name:28} {seen['median']:7.3f} s, of processors {seen['processors']:7.3f} s{goal}")
    for name, ratio in result["ratios"].items():
        print(f"{name:60} {ratio:6.1f} times")
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=1) + "\n")


def ratios(found: dict[str, dict[str, float]]) -> dict[str, float]:
    """How many times faster the second of a pair is, of those that were measured."""
    return {
        f"{slow} / {fast}": round(found[slow]["median"] / found[fast]["median"], 1)
        for slow, fast in RATIOS
        if slow in found and fast in found
    }


if __name__ == "__main__":
    try:
        main()
    except RayopsError as error:
        raise SystemExit(error.message) from error
