"""rayops simulate: a pipeline on N GPUs as an event simulation; with --claim, the study of fractional GPUs."""

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rayops.simulate.measure import Effort
    from rayops.simulate.model import Pipeline
    from rayops.simulate.spec import Spec

WHAT_IFS = ("dedicated", "fractional", "sequential", "parallel", "fixed", "autoscaled")
OPPOSITES = (("dedicated", "fractional"), ("sequential", "parallel"), ("fixed", "autoscaled"))
NAME = "fractional-gpus"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `rayops simulate`."""
    parser.add_argument("--pipeline", default="document-intelligence", metavar="NAME", help="folder below overlays/ENV")
    parser.add_argument("--env", default="dev", help="folder below overlays (default: dev)")
    parser.add_argument("--rate", type=_positive, nargs="+", metavar="R", help="documents a second; several: a table")
    parser.add_argument("--duration", type=_positive, default=2400.0, metavar="S", help="measured seconds of one run")
    parser.add_argument("--replications", type=_count, default=6, metavar="N", help="runs with seeds of their own")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="the first seed (default: 1)")
    parser.add_argument("--gpus", type=_count, metavar="N", help="one worker with N GPUs in place of sizing.env's")
    parser.add_argument("--price", type=_positive, default=3.0, metavar="P", help="of a GPU-hour (default: 3)")
    what = f"a change, may be given again: {', '.join(WHAT_IFS)}"
    parser.add_argument("--what-if", action="append", default=[], choices=WHAT_IFS, metavar="CHANGE", help=what)
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="also draw it: .svg or .png")
    parser.add_argument("--claim", action="store_true", help="12 to 6 GPUs, 75 %% busy, -40 %% latency: what holds")
    parser.add_argument("--into", type=Path, metavar="PAGE", help="with --claim: also put the tables into a page")


def run(options: argparse.Namespace) -> int:
    """Simulate and print. The first fifth of the duration comes before it as warm-up and is not measured."""
    from rayops.errors import RayopsError
    from rayops.simulate import plot
    from rayops.simulate.measure import Effort
    from rayops.simulate.model import load

    if options.plot:
        plot.check(options.plot)
    if options.claim and (options.rate or options.gpus or options.what_if):
        raise RayopsError("--claim has loads, GPUs and changes of its own", hint="leave --rate, --gpus, --what-if out")
    if options.into and not options.claim:
        raise RayopsError("--into needs --claim", hint="rayops simulate --claim --into PAGE")
    pipeline, spec = load(options.pipeline, options.env)
    effort = Effort(options.duration, options.duration / 5, options.replications, options.seed)
    return _claim(options, pipeline, spec, effort) if options.claim else _rates(options, pipeline, spec, effort)


def _rates(options: argparse.Namespace, pipeline: "Pipeline", spec: "Spec", effort: "Effort") -> int:
    from rayops.simulate import plot, report
    from rayops.simulate.engine import Load
    from rayops.simulate.measure import measure

    changed = what_if(pipeline, options.what_if, options.gpus)
    rates = options.rate or [spec.documents_per_s.value]
    rows = [measure(f"{rate:g} documents/s", changed, Load(rate), effort, options.price) for rate in rates]
    if options.plot:
        plot.rates_plot(rows, options.plot)
    if options.format == "json":
        _print_json({"pipeline": pipeline.name, "env": options.env, "scenarios": [row.as_json() for row in rows]})
        return 0
    print(report.text(report.scenario_table(rows)))
    print(f"\n{rows[-1].name}:\n{report.text(report.station_table(rows[-1].runs))}")
    print(f"\n{_sources(spec)}")
    return 0


def _claim(options: argparse.Namespace, pipeline: "Pipeline", spec: "Spec", effort: "Effort") -> int:
    import sys

    from rayops.simulate import claim, plot, report

    def tell(line: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)

    study = claim.study(pipeline, spec, effort, options.price, tell)
    tell("")
    print_of_inputs = claim.fingerprint(pipeline, spec, effort, options.price)
    if options.plot:
        plot.study_plot(study, options.plot, print_of_inputs)
    if options.into:
        page = report.put(options.into, NAME, print_of_inputs, report.study_markdown(study))
        options.into.write_text(page, "utf-8")
    if options.format == "json":
        _print_json({"fingerprint": print_of_inputs, **claim.as_json(study)})
    else:
        print(report.study_text(study))
        print(f"\n{_sources(spec)}")
    return 0


def what_if(pipeline: "Pipeline", changes: list[str], gpus: int | None) -> "Pipeline":
    """The pipeline with changes. RayopsError for two that exclude each other, or that find nothing to change."""
    from rayops.errors import RayopsError
    from rayops.simulate import model

    for one, other in OPPOSITES:
        if one in changes and other in changes:
            raise RayopsError(f"--what-if {one} and {other} exclude each other", hint="give one of them")
    if "fractional" in changes and not any(0 < each.gpus < 1 for each in pipeline.stations):
        raise RayopsError("--what-if fractional: no deployment has a num_gpus below 1", hint="set it in serve.yaml")
    if "autoscaled" in changes and not any(each.scaling for each in pipeline.stations):
        raise RayopsError("--what-if autoscaled: no deployment has an autoscaling_config", hint="set it in serve.yaml")
    if "dedicated" in changes:
        pipeline = model.dedicated(pipeline)
    if "sequential" in changes:
        pipeline = model.sequential(pipeline)
    if "fixed" in changes:
        pipeline = model.fixed(pipeline)
    return model.on_gpus(pipeline, gpus) if gpus else pipeline


def _sources(spec: "Spec") -> str:
    """Which numbers nobody measured."""
    values = {name: stage.service_s for name, stage in spec.stages.items()}
    assumed = [name for name, value in values.items() if value.assumed]
    if not assumed:
        return "All service times were measured; see simulation.yaml."
    return f"Assumed, not measured: service times of {', '.join(assumed)} (simulation.yaml says why)."


def _print_json(body: dict[str, object]) -> None:
    import json

    print(json.dumps(body, indent=1))


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return number


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)
