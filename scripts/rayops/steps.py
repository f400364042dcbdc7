"""Steps with live progress and time. A step that finds its goal already reached says so and costs nothing.

steps = Steps(title="up")
with steps.step("tools") as step:
    if missing:
        build(missing)
    else:
        step.skip("kind, helm, kustomize, kubeconform are there")
"""

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from rayops import proc
from rayops.errors import RayopsError

WIDTH = 14


@dataclass
class Step:
    """What one step did. seconds: wall clock."""

    name: str
    note: str = ""
    skipped: bool = False
    seconds: float = 0.0

    def skip(self, why: str) -> None:
        """Say that the goal of the step was already reached."""
        self.skipped, self.note = True, why

    def say(self, note: str) -> None:
        """The line that stays on the screen when the step is over."""
        self.note = note


class Steps:
    """Runs steps one after the other; on a terminal with a live line, elsewhere one line for each step's end."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        self.done: list[Step] = []

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """One step; the time is taken also when it fails."""
        step, started = Step(name), time.monotonic()
        status = self.console.status(f"{name:<{WIDTH}}", spinner="dots")

        def show(line: str) -> None:
            status.update(f"{name:<{WIDTH}}[dim]{time.monotonic() - started:5.0f} s  {_plain(line)[:90]}[/dim]")

        previous, proc.on_line = proc.on_line, show
        try:
            with status:
                yield step
        except BaseException:
            self._finish(step, started, "[red]✗[/red]")
            raise
        finally:
            proc.on_line = previous
        self._finish(step, started, "[dim]·[/dim]" if step.skipped else "[green]✓[/green]")

    def _finish(self, step: Step, started: float, mark: str) -> None:
        step.seconds = round(time.monotonic() - started, 1)
        self.done.append(step)
        self.console.print(f"{mark} {step.name:<{WIDTH}}{step.seconds:6.1f} s  [dim]{_plain(step.note)}[/dim]")

    def total(self) -> float:
        """Seconds of all steps together."""
        return round(sum(step.seconds for step in self.done), 1)

    def write(self, file: Path) -> None:
        """Keep the times for `rayops up --timings`."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps([asdict(step) for step in self.done], indent=1) + "\n")


def read_timings(file: Path) -> list[Step]:
    """The steps that an earlier run wrote; empty when there was none. RayopsError for a file that is not whole."""
    try:
        return [Step(**entry) for entry in json.loads(file.read_text())] if file.exists() else []
    except (ValueError, TypeError) as error:
        raise RayopsError(f"{file} is not whole: {error}", hint="the next ./scripts/up writes it anew") from error


def timings_table(steps: list[Step]) -> str:
    """Times stacked: each bar starts where the one before it ended.

    One line a step, the total last.
    """
    total = sum(step.seconds for step in steps)
    width = total or 1.0
    lines, start = [], 0.0
    for step in steps:
        left, length = round(40 * start / width), max(1, round(40 * step.seconds / width))
        bar = " " * min(left, 39) + ("·" if step.skipped else "█") * length
        lines.append(f"{step.name:<{WIDTH}}{step.seconds:7.1f} s  {bar:<42}{step.note}".rstrip())
        start += step.seconds
    return "\n".join([*lines, f"{'total':<{WIDTH}}{total:7.1f} s"])


def _plain(text: str) -> str:
    return text.replace("[", "(").replace("]", ")")
