"""What the simulation says, as text, Markdown and JSON."""

import math
import re
from collections.abc import Sequence
from pathlib import Path

from rayops.errors import RayopsError
from rayops.simulate.claim import BUSY, DAY_SPEED, SWING, Study
from rayops.simulate.engine import Run
from rayops.simulate.measure import Measured
from rayops.simulate.stats import Estimate, estimate

HEAD = ("scenario", "GPUs", "busy %", "p50 s", "p95 s", "p99 s", "documents/s", "503 %", "GPU cost of 1,000")
SWEEP_HEAD = ("assumption", "side by side", "sharing", "both", "both, p95", "side by side at most")
PARTS = ("side by side", "sharing", "both")
START, END = "<!-- simulated:{name} {print} -->", "<!-- /simulated:{name} -->"
Table = list[tuple[str, ...]]


def scenario_table(rows: Sequence[Measured]) -> Table:
    """One line a scenario, the first line the heads."""
    return [HEAD, *(_scenario(row) for row in rows)]


def _scenario(row: Measured) -> tuple[str, ...]:
    latencies = (row.latency(share).text(1) for share in (0.5, 0.95, 0.99))
    gpus = f"{row.gpus.mean:g}" if not row.gpus.half else row.gpus.text(1)
    cells = (gpus, row.busy.text(1, 100), *latencies, row.per_s.text(2), row.refused.text(1, 100), row.cost.text(2))
    return (row.name, *cells)


def station_table(runs: Sequence[Run]) -> Table:
    """One line a deployment: replicas, calls there, seconds of a call, calls a second, refused calls."""
    rows: Table = [("deployment", "replicas", "calls there", "seconds of a call", "calls/s", "refused")]
    for name in runs[0].stations:
        each = [run.stations[name] for run in runs]
        replicas, calls, stay, rate = (
            estimate(values)
            for values in zip(*((run.replicas, run.calls, run.stay_s, run.done_per_s) for run in each), strict=True)
        )
        refused = sum(run.refused for run in each)
        rows.append((name, replicas.text(1), calls.text(2), stay.text(2), rate.text(2), str(refused)))
    return rows


def sweep_table(study: Study) -> Table:
    """One line a set of assumptions: change of the median, of the p95 with both, and the bound."""
    rows: Table = [SWEEP_HEAD]
    for each in study.sweeps:
        medians = [_change(each.median[part]) if part in each.median else "does not fit" for part in PARTS]
        tail = _change(each.tail["both"]) if "both" in each.tail else "does not fit"
        rows.append((each.name, *medians, tail, f"{-each.saving:.0%}"))
    return rows


def verdict_table(study: Study) -> Table:
    """One line a part of the claim."""
    return [("claim", "verdict", "because"), *((each.claim, each.verdict, each.why) for each in study.verdicts)]


def method(study: Study) -> str:
    """How the figures came about, in two lines."""
    effort = study.effort
    return (
        f"Load: the dedicated GPUs {BUSY:.0%} busy. Scenarios: mix {study.main}, {effort.replications} replications "
        f"of {effort.seconds:g} s after {effort.warmup:g} s of warm-up,\nseeds from {effort.seed}; ± is the 95 % "
        f"confidence interval (Student's t). day: the load swings by {SWING:.0%} around its mean, {DAY_SPEED} hours "
        "pass in one.\nAssumptions: change against dedicated and sequential, same documents, median unless it says "
        "p95; runs a quarter as long."
    )


def study_text(study: Study) -> str:
    """The study for a terminal."""
    claims = [f"{each.verdict:<14} {each.claim}: {each.why}" for each in study.verdicts]
    tables = (scenario_table([*study.rows, *study.day]), sweep_table(study))
    return "\n\n".join([*map(text, tables), "\n".join(claims), method(study)])


def study_markdown(study: Study) -> str:
    """The study for a page."""
    rows = scenario_table([*study.rows, *study.day])
    return "\n\n".join([markdown(verdict_table(study)), markdown(rows), markdown(sweep_table(study))])


def text(table: Table) -> str:
    """Columns for a terminal: the first to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = []
    for row in table:
        cells = [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([f"{row[0]:<{widths[0]}}", *cells]).rstrip())
    return "\n".join(lines)


def markdown(table: Table) -> str:
    """A Markdown table."""
    head, *rows = (f"| {' | '.join(row)} |" for row in table)
    return "\n".join([head, "|" + "---|" * len(table[0]), *rows])


def put(page: Path, name: str, fingerprint: str, body: str) -> str:
    """The page with the body between its markers. RayopsError where they are missing."""
    there = page.read_text("utf-8") if page.exists() else ""
    pattern = re.compile(rf"<!-- simulated:{name}\b[^>]*-->\n.*?<!-- /simulated:{name} -->", re.DOTALL)
    start, end = START.format(name=name, print=fingerprint), END.format(name=name)
    if len(pattern.findall(there)) != 1:
        raise RayopsError(f"{page}: the marks of the table are missing", hint=f"add the lines {start} and {end}")
    return pattern.sub(lambda _: f"{start}\n{body}\n{end}", there)


def marked(page: Path, name: str) -> str:
    """The fingerprint that stands in a page's marker; "" when there is none."""
    found = re.search(rf"<!-- simulated:{name} (\w+) -->", page.read_text("utf-8"))
    return found[1] if found else ""


def _change(value: Estimate) -> str:
    mean = f"{value.mean:+.0%}"
    return mean if math.isnan(value.half) else f"{mean} ± {value.half * 100:.0f}"
