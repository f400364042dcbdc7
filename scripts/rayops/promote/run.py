"""One promotion from end to end: edits, proof that the source is healthy, the review of what will happen, the files."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rayops.errors import RayopsError
from rayops.promote import edit, live, plan
from rayops.promote.live import Live
from rayops.promote.plan import Edit
from rayops.render.sources import load
from rayops.review.compare import compare
from rayops.review.inputs import Side
from rayops.review.report import markdown

# What the renders of a promotion read.
FOLDERS = ("apps", "base", "overlays")


@dataclass(frozen=True)
class Asked:
    """What was asked for. look: reads the source environment; None when nobody said where it is."""

    source: str
    target: str
    pipelines: Sequence[str] = ()
    platform: bool = False
    digests: Sequence[str] = ()
    look: Callable[[], Live] | None = None
    allow_dirty: bool = False
    dry_run: bool = False
    i_know: bool = False


@dataclass
class Promotion:
    """A promotion below a root. edits and page are there once prepare() has ended."""

    root: Path
    asked: Asked
    edits: list[Edit] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    page: str = ""
    _seen: Live | None = None

    def prepare(self) -> None:
        """Find the edits, prove the source, render the outcome; write nothing. RayopsError with what forbids it."""
        asked = self.asked
        plan.check_way(self.root, asked.source, asked.target, i_know=asked.i_know)
        if asked.platform and (asked.pipelines or asked.digests):
            raise RayopsError(
                "--platform goes alone", hint="an operator and an image that change in one sync do not roll out"
            )
        names = plan.chosen(self.root, asked.source, asked.pipelines)
        if not (asked.pipelines or asked.platform):
            self.left_out = [name for name in plan.pipelines(self.root, asked.source) if name not in names]
        changed = self._platform() if asked.platform else self._pipelines(names)
        if not self.edits:
            return
        self._prove(changed)
        if not asked.allow_dirty:
            plan.check_clean(self.root, self.edits)
        self.page = self._review(names)

    def _platform(self) -> list[str]:
        self.edits = plan.platform_edits(self.root, self.asked.source, self.asked.target)
        services = plan.chosen(self.root, self.asked.source, ())
        return services if self.edits else []

    def _pipelines(self, names: Sequence[str]) -> list[str]:
        changed = []
        for name in names:
            given = self._given(name)
            if edits := plan.pipeline_edits(self.root, self.asked.source, self.asked.target, name, given):
                self.edits += edits
                changed.append(name)
        return changed

    def _given(self, name: str) -> dict[str, str]:
        """Digests that the source's files do not have: from --digest, and from the pods where the source runs tags."""
        folder = self.root / "overlays"
        target = folder / self.asked.target / name / "kustomization.yaml"
        images = edit.digests(edit.read(target)) if target.is_file() else {}
        given = live.parse_digests(self.asked.digests, images)
        source = edit.digests(edit.read(folder / self.asked.source / name / "kustomization.yaml"))
        if given and source:
            raise RayopsError(f"--digest: {self.asked.source} has digests of its own", hint="leave --digest out")
        unknown = set(images) - set(source) - set(given)
        if unknown and not source:
            wanted = plan.ray_object(self.root, self.asked.source, name)
            if unknown & set(plan.runs(wanted)) or self.asked.look:
                given = {**live.digests(self._live(), wanted, unknown), **given}
        return given

    def _live(self) -> Live:
        if self._seen is None:
            if self.asked.look is None:
                raise RayopsError(f"nothing says how healthy {self.asked.source} is", hint=live.HOW)
            self._seen = self.asked.look()
        return self._seen

    def _prove(self, names: Sequence[str]) -> None:
        found = [
            f"{name}: {why}"
            for name in names
            if (why := live.problem(self._live(), plan.ray_object(self.root, self.asked.source, name)))
        ]
        if found:
            rest = [name for name in names if not any(each.startswith(f"{name}: ") for each in found)]
            hint = f"mend {self.asked.source}"
            hint += "".join([", or go without: ", *(f"--pipeline {name} " for name in rest)]).rstrip() if rest else ""
            raise RayopsError(f"{self.asked.source} is no proof: {'; '.join(found)}", hint=hint)

    def _review(self, names: Sequence[str]) -> str:
        """Render both sides in a copy of the tree."""
        with tempfile.TemporaryDirectory(prefix="rayops-promote-") as folder:
            after = Path(folder)
            for part in FOLDERS:
                if (self.root / part).is_dir():
                    shutil.copytree(self.root / part, after / part, ignore=shutil.ignore_patterns("__pycache__"))
            plan.write(after, self.edits)
            there = f"overlays/{self.asked.target}"
            chosen = [there] if self.asked.platform else [f"{there}/{name}" for name in names]
            sides = [
                Side(name, root, tuple(load(root, [each for each in chosen if (root / each).is_dir()])))
                for name, root in ((f"{self.asked.target} as it is", self.root), ("promoted", after))
            ]
            found = compare(*sides)
            text = markdown.report(found)
        if found.problems:
            raise RayopsError(f"{found.problems[0]} after the promotion", hint="mend it there, then promote")
        return text

    def write(self) -> None:
        """Change the files, unless it is a dry run."""
        if not self.asked.dry_run:
            plan.write(self.root, self.edits)
