"""Files that are made and changed, and undone as one when something goes wrong on the way."""

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from rayops.errors import RayopsError
from rayops.render import render

GOLDEN = Path("tests/render/golden")


@dataclass
class Work:
    """What was done below a root. Use it as a context: an exception takes everything back."""

    root: Path
    made: list[Path] = field(default_factory=list)
    changed: dict[Path, str] = field(default_factory=dict)

    def __enter__(self) -> "Work":
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is not None:
            self.undo()

    def undo(self) -> None:
        """Leave the root as it was."""
        for place in reversed(self.made):
            shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
        for file, text in self.changed.items():
            file.write_text(text, "utf-8")

    def copy(self, source: Path, target: Path, rewrite: Callable[[str, Path], str]) -> None:
        """Copy a folder file by file; rewrite gets each text and its path. What is no text is copied as it is."""
        self.made.append(target)
        for file in sorted(source.rglob("*")):
            if file.is_dir() or "__pycache__" in file.parts:
                continue
            copied = target / file.relative_to(source)
            copied.parent.mkdir(parents=True, exist_ok=True)
            try:
                copied.write_text(rewrite(file.read_text("utf-8"), file), "utf-8")
            except UnicodeDecodeError:
                shutil.copyfile(file, copied)

    def change(self, file: Path, text: str) -> None:
        """Give a file another text."""
        before = file.read_text("utf-8")
        if text != before:
            self.changed.setdefault(file, before)
            file.write_text(text, "utf-8")

    def write(self, file: Path, text: str) -> None:
        """Make a file, or write one anew that was made here."""
        if not any(file == place or file.is_relative_to(place) for place in self.made):
            self.made.append(file)
        file.write_text(text, "utf-8")

    def told(self) -> list[str]:
        """What was made and changed, relative to the root, goldens as one line."""
        made = [place.relative_to(self.root) for place in self.made]
        folders = [
            f"+ {place}{'/' if (self.root / place).is_dir() else ''}" for place in made if place.parent != GOLDEN
        ]
        golden = sum(place.parent == GOLDEN for place in made)
        lines = [*folders, *([f"+ {golden} files in {GOLDEN}"] if golden else [])]
        return [*lines, *(f"~ {file.relative_to(self.root)}" for file in self.changed)]

    def finish(self, overlays: Iterable[tuple[str, str]]) -> None:
        """Render each new overlay and write what follows from it: a golden where the old one has one, the tables.

        overlays: the old one's and the new one's path below overlays. RayopsError when one does not render.
        """
        for old, new in overlays:
            objects = render(self.root / "overlays" / new)
            if (self.root / GOLDEN / _file(old)).is_file():
                text = yaml.safe_dump_all(objects, sort_keys=False, width=4096)
                self.write(self.root / GOLDEN / _file(new), text)
        self._tables()

    def _tables(self) -> None:
        """What `rayops matrix --write` writes."""
        import argparse

        from rayops.cli import matrix

        before = {file: file.read_text("utf-8") for file in self.root.glob("*/README.md")}
        try:
            matrix.run(argparse.Namespace(write=True, check=False))
        except RayopsError as error:
            raise RayopsError(f"the tables of `rayops matrix` could not be written: {error.message}") from error
        for file, text in before.items():
            if file.read_text("utf-8") != text:
                self.changed.setdefault(file, text)


def _file(overlay: str) -> str:
    return f"{overlay.replace('/', '-')}.yaml"
