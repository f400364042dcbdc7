"""The study and a sweep over rates as a picture: the same numbers give the same bytes."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rayops.errors import RayopsError
from rayops.simulate.claim import CLAIMED_LATENCY, Study
from rayops.simulate.measure import Measured
from rayops.simulate.report import PARTS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = (".svg", ".png")
COLOURS = {"side by side": "#1d5fd0", "sharing": "#a85400", "both": "#16703d"}
GREY = "#526079"


def check(file: Path) -> None:
    """RayopsError for a file that is no picture, or whose folder is missing: before the work, not after it."""
    if file.suffix not in KINDS:
        raise RayopsError(f"--plot {file}: no picture of this kind", hint=f"a name that ends in {' or '.join(KINDS)}")
    if not file.parent.is_dir():
        raise RayopsError(f"--plot {file}: no folder {file.parent}", hint=f"mkdir -p {file.parent}")


def study_plot(study: Study, file: Path, fingerprint: str) -> None:
    """Two panels: latency of the scenarios from p50 to p95; change of the median under all assumptions."""
    figure = _figure(10, 7.2)
    top, bottom = figure.subplots(2, 1, height_ratios=[len(study.rows), len(study.sweeps)])
    rows = list(study.rows)
    for place, row in enumerate(rows):
        median, tail = row.latency(0.5).mean, row.latency(0.95).mean
        top.plot([median, tail], [place, place], color=GREY, linewidth=3, solid_capstyle="round")
        top.plot([median], [place], "o", color=COLOURS["side by side"])
        label = f"{row.gpus.mean:.0f} GPUs, {row.busy.mean:.0%} busy"
        top.annotate(label, (tail, place), xytext=(8, 0), textcoords="offset points", va="center", color=GREY)
    _names(top, [row.name for row in rows])
    top.set_xlim(0, max(row.latency(0.95).mean for row in rows) * 1.25)
    top.set_title(f"Latency in seconds, p50 (dot) to p95; mix: {study.main}", loc="left")
    for place, sweep in enumerate(study.sweeps):
        for part in PARTS:
            if part in sweep.median:
                bottom.plot([sweep.median[part].mean * 100], [place], "o", color=COLOURS[part])
    for part in PARTS:
        bottom.plot([], [], "o", color=COLOURS[part], label=part)
    bottom.axvline(CLAIMED_LATENCY * 100, color="#b42318", linestyle="--", label="claimed")
    bottom.axvline(0, color=GREY, linewidth=1)
    _names(bottom, [sweep.name for sweep in study.sweeps])
    bottom.set_title("Change of the median against 12 dedicated GPUs, sequential, in %", loc="left")
    bottom.legend(loc="lower right", frameon=False)
    _save(figure, file, fingerprint)


def rates_plot(rows: Sequence[Measured], file: Path) -> None:
    """Latency over the offered rate, with 95 % intervals."""
    figure = _figure(7, 4.5)
    axes = figure.subplots()
    for share, colour in zip((0.5, 0.95, 0.99), COLOURS.values(), strict=True):
        latencies = [row.latency(share) for row in rows]
        means, halves = [each.mean for each in latencies], [each.half for each in latencies]
        bars = halves if all(half == half for half in halves) else None
        axes.errorbar([row.rate for row in rows], means, bars, marker="o", color=colour, label=f"p{share:.0%}"[:-1])
    axes.set_xlabel("documents/s")
    axes.set_ylabel("latency, s")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    _save(figure, file, "")


def _figure(width: float, height: float) -> "Figure":
    """Without pyplot: no global state, no display."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    mpl.rcParams.update({"svg.hashsalt": "rayops", "svg.fonttype": "none", "font.size": 9, "axes.titlesize": 10})
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _names(axes: Any, names: list[str]) -> None:
    """A line each, the first on top, nothing drawn around."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="x", color="#d5dbe4", linewidth=0.6)
    axes.set_axisbelow(True)


def _save(figure: "Figure", file: Path, fingerprint: str) -> None:
    if file.suffix == ".svg":
        about = {"Date": None, "Creator": None, "Source": f"rayops simulate {fingerprint}".strip()}
        figure.savefig(file, metadata=about)
        file.write_text("\n".join(line.rstrip() for line in file.read_text("utf-8").splitlines()) + "\n", "utf-8")
    else:
        figure.savefig(file, dpi=150, metadata={"Software": None})
