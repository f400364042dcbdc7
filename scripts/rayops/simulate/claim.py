"""The study of a claim often made for fractional GPUs: 12 -> 6 GPUs, 30 -> 75 % busy, -40 % latency, -50 % cost.

The load is the one that keeps the dedicated GPUs 30 % busy. All scenarios of a mix see the same documents.
"""

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from rayops.errors import RayopsError
from rayops.simulate import closed_forms, model
from rayops.simulate.engine import Load
from rayops.simulate.measure import Effort, Measured, measure
from rayops.simulate.model import Pipeline, Scaling, Station, Workers
from rayops.simulate.spec import ClaimSpec, Layout, Mix, Spec
from rayops.simulate.stats import Estimate

BUSY, CLAIMED_BUSY, CLAIMED_LATENCY, CLAIMED_COST, CLAIMED_GPUS = 0.30, 0.75, -0.40, -0.50, 4.8
MORE = CLAIMED_BUSY / (2 * BUSY)  # the load that makes 60 % into 75 %
SWING = 0.4
DAY_SPEED = 24  # a day passes in an hour; so that this costs nothing, starts are as many times shorter
DAY_S = 24 * 3600.0 / DAY_SPEED
SAME = 0.05  # a p95 that is at most so much higher counts as the same
NEAR = 0.02
HOLDS, ONLY_IF, NOT = "holds", "holds only if", "does not hold"


@dataclass(frozen=True)
class Sweep:
    """One set of assumptions: change of the median and p95 against dedicated and sequential, by what was changed.

    fits: "" or why the mix does not run on the fewer GPUs. saving: the most that side by side can take off the time.
    """

    name: str
    about: str
    saving: float
    busy: tuple[float, float]
    fits: str
    median: dict[str, Estimate]
    tail: dict[str, Estimate]


@dataclass(frozen=True)
class Verdict:
    """One part of the claim."""

    claim: str
    verdict: str
    why: str


@dataclass(frozen=True)
class Study:
    """The whole study. rows: the main mix; day: scenarios under a load that swings; effort: of the rows."""

    main: str
    rows: tuple[Measured, ...]
    day: tuple[Measured, ...]
    sweeps: tuple[Sweep, ...]
    verdicts: tuple[Verdict, ...]
    effort: Effort


@dataclass(frozen=True)
class Bench:
    """A mix on its layout. rate: documents a second that keep the dedicated GPUs 30 % busy."""

    base: Pipeline
    layout: Layout
    rate: float

    @property
    def dedicated(self) -> Pipeline:
        """A whole GPU for each replica, one step after the other."""
        return self._on(model.dedicated(model.with_replicas(self.base, self.layout.dedicated)))

    @property
    def fractional(self) -> Pipeline:
        """Shares of GPUs, one step after the other."""
        return self._on(model.with_replicas(self.base, self.layout.fractional))

    def shares(self, per_gpu: int) -> Pipeline:
        """As fractional, with so many replicas on a shared GPU."""
        return self._on(self.fractional.changed(lambda each: _share(each, 1 / per_gpu)))

    def autoscaled(self) -> Pipeline:
        """Shares of GPUs with the layout's autoscaling, a worker for each GPU."""

        def scaled(station: Station) -> Station:
            given = self.layout.autoscaled.get(station.name)
            if given is None:
                return station
            scaling = Scaling.model_validate(given)
            start = station.start_s / DAY_SPEED
            return replace(station, scaling=scaling, replicas=scaling.min_replicas, start_s=start)

        fractional, workers = self.fractional, self.base.workers
        least = min(int(each["min_replicas"]) for each in self.layout.autoscaled.values())
        group = Workers(1, least, _gpus(fractional), workers.start_s / DAY_SPEED, workers.idle_s / DAY_SPEED)
        return replace(fractional.changed(scaled), workers=group)

    def parallel(self, pipeline: Pipeline) -> Pipeline:
        """The same with the branches side by side."""
        return replace(pipeline, flow=self.base.flow)

    def _on(self, pipeline: Pipeline) -> Pipeline:
        """On exactly the GPUs that its replicas ask for."""
        gpus = _gpus(pipeline)
        size = self.layout.worker_gpus or gpus
        count = math.ceil(gpus / size)
        return model.sequential(replace(pipeline, workers=Workers(size, count, count)))


def bench(pipeline: Pipeline, claim: ClaimSpec, mix: Mix) -> Bench:
    """A mix ready to be run. CPU replicas stand at their most: they are no part of the claim."""
    layout = claim.layouts[mix.layout]
    base = model.with_gpus(model.with_assumptions(model.fixed(pipeline), mix), layout.gpus)
    ready = Bench(base, layout, 1.0)
    whole = ready.dedicated
    return replace(ready, rate=BUSY * _gpus(whole) / whole.gpu_work())


def study(pipeline: Pipeline, spec: Spec, effort: Effort, price: float, tell: Callable[[str], None]) -> Study:
    """Run everything. tell: hears what runs. RayopsError where simulation.yaml has no claim."""
    if spec.claim is None:
        hint = "add claim with layouts and mixes, as apps/document_intelligence has it"
        raise RayopsError(f"{pipeline.name}: simulation.yaml has no field claim", hint=hint)
    names = list(spec.claim.mixes)
    main = bench(pipeline, spec.claim, spec.claim.mixes[names[0]])
    rows = _rows(main, effort, price, tell)
    quick = replace(effort, replications=max(2, effort.replications // 2))
    day = _day(pipeline, spec.claim, quick, price, tell)
    sweeps = []
    for name, mix in spec.claim.mixes.items():
        tell(name)
        ready = bench(pipeline, spec.claim, mix)
        seconds = effort.seconds / 4 * main.rate / ready.rate  # as many documents for each
        sweeps.append(_sweep(name, mix, ready, replace(effort, seconds=seconds, warmup=seconds / 5)))
    verdicts = _verdicts(main, rows, day, sweeps)
    return Study(names[0], tuple(rows), tuple(day), tuple(sweeps), tuple(verdicts), effort)


def as_json(whole: Study) -> dict[str, object]:
    """The study as numbers."""
    sweeps = [
        {
            "name": each.name,
            "saving_at_most": round(each.saving, 4),
            "busy": [round(busy, 4) for busy in each.busy],
            "fits": each.fits or True,
            "p50_change": {name: round(value.mean, 4) for name, value in each.median.items()},
            "p95_change": {name: round(value.mean, 4) for name, value in each.tail.items()},
        }
        for each in whole.sweeps
    ]
    return {
        "mix": whole.main,
        "scenarios": [row.as_json() for row in whole.rows],
        "day": [row.as_json() for row in whole.day],
        "sensitivity": sweeps,
        "claims": [vars(each) for each in whole.verdicts],
    }


def fingerprint(pipeline: Pipeline, spec: Spec, effort: Effort, price: float) -> str:
    """Twelve hex digits over the inputs and what the simulation makes of them in a very short run.

    It changes with serve.yaml, sizing.env, simulation.yaml and the behaviour of the code, not with its wording.
    """
    short = study(pipeline, spec, replace(effort, seconds=40.0, warmup=8.0, replications=2), price, lambda _: None)
    text = json.dumps([as_json(short), vars(effort), repr(pipeline)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _rows(main: Bench, effort: Effort, price: float, tell: Callable[[str], None]) -> list[Measured]:
    many, few = _gpus(main.dedicated), _gpus(main.fractional)
    load = Load(main.rate)
    plans = [
        (f"{many} dedicated, sequential", main.dedicated, load),
        (f"{many} dedicated, parallel", main.parallel(main.dedicated), load),
        (f"{few} fractional, sequential", main.fractional, load),
        (f"{few} fractional, parallel", main.parallel(main.fractional), load),
        (f"{few} fractional, parallel, load x {MORE:g}", main.parallel(main.fractional), Load(main.rate * MORE)),
    ]
    for per_gpu in (3, 2):
        shares = main.parallel(main.shares(per_gpu))
        plans.append((f"{_gpus(shares)} fractional, parallel, {per_gpu} on a GPU", shares, load))
    rows = []
    for name, pipeline, each in plans:
        tell(name)
        rows.append(measure(name, pipeline, each, effort, price))
    return rows


def _day(
    pipeline: Pipeline, claim: ClaimSpec, effort: Effort, price: float, tell: Callable[[str], None]
) -> list[Measured]:
    """The first mix whose layout can be autoscaled, under a day: fixed 12, fixed 6, autoscaled."""
    mix = next((mix for mix in claim.mixes.values() if claim.layouts[mix.layout].autoscaled), None)
    if mix is None:
        return []
    ready = bench(pipeline, claim, mix)
    scaled = ready.autoscaled()
    bounds = f"{scaled.workers.least} to {scaled.workers.most}"
    plans = [
        (f"day: {_gpus(ready.dedicated)} dedicated, sequential", ready.dedicated),
        (f"day: {_gpus(ready.fractional)} fractional, parallel", ready.parallel(ready.fractional)),
        (f"day: {bounds} fractional, parallel, autoscaled", ready.parallel(scaled)),
    ]
    # Whole days are measured; a trial run has a short day.
    day = DAY_S if effort.seconds >= DAY_S / 2 else effort.seconds
    days = replace(effort, seconds=max(1, round(effort.seconds / day)) * day)
    rows = []
    for name, each in plans:
        tell(name)
        rows.append(measure(name, each, Load(ready.rate, SWING, day), days, price))
    return rows


def _sweep(name: str, mix: Mix, ready: Bench, effort: Effort) -> Sweep:
    whole, shared = ready.dedicated, ready.fractional
    stations = {each.name: each for each in ready.base.stations}
    steps = [[sum(stations[one].mean for one in branch) for branch in step] for step in ready.base.flow]
    saving = sum(closed_forms.parallel_saving(step, sum(map(sum, steps))) for step in steps)
    busy = tuple(closed_forms.utilisation(ready.rate, each.gpu_work(), _gpus(each)) for each in (whole, shared))
    fits = misfit(ready)
    result = Sweep(name, mix.about, saving, (busy[0], busy[1]), fits, {}, {})
    plans = {"side by side": ready.parallel(whole), "sharing": shared, "both": ready.parallel(shared)}
    base = measure("", whole, Load(ready.rate), effort, 0.0)
    for part, pipeline in plans.items():
        if part == "side by side" or not fits:
            found = measure(part, pipeline, Load(ready.rate), effort, 0.0)
            result.median[part], result.tail[part] = found.compared(base, 0.5), found.compared(base, 0.95)
    return result


def misfit(ready: Bench) -> str:
    """Why the shared GPUs cannot do the work of the load; "" when they can."""
    shared = ready.fractional
    parts = [each for each in shared.stations if 0 < each.gpus < 1]
    work = ready.rate * sum(shared.calls(each) * each.mean for each in parts)
    gpus = math.ceil(sum(each.gpus * each.replicas for each in parts) - 1e-9)
    load = work / gpus / shared.speed if gpus else 0.0
    return f"the {gpus} shared GPUs would have to be {load:.0%} busy" if load >= 1 else ""


def _verdicts(main: Bench, rows: list[Measured], day: list[Measured], sweeps: list[Sweep]) -> list[Verdict]:
    before, _, sharing, both, more = rows[:5]
    many, few = _gpus(main.dedicated), _gpus(main.fractional)
    parts = [each for each in main.fractional.stations if 0 < each.gpus < 1]
    work = main.rate * sum(main.fractional.calls(each) * each.mean for each in parts)
    shared = math.ceil(sum(each.gpus * each.replicas for each in parts) - 1e-9)
    bad = [each.name for each in sweeps if each.fits]
    same = abs(both.per_s.mean / before.per_s.mean - 1) < 0.01 and both.refused.mean < 0.01
    exact = closed_forms.utilisation(main.rate, main.fractional.gpu_work(), few)
    best = min((each for each in sweeps if "both" in each.median), key=lambda each: each.median["both"].mean)
    least = best.median["both"].mean
    saved = both.cost.mean / before.cost.mean - 1
    alone, tail = sharing.compared(before, 0.5), both.compared(before, 0.95)
    found = [
        Verdict(
            f"{many} -> {few} GPUs",
            (ONLY_IF if bad else HOLDS) if same else NOT,
            f"the work of the shared steps fits in the GPUs left: here {work:.1f} of {shared}, and as many documents "
            f"are answered" + (f"; not with: {', '.join(bad)}" if bad else ""),
        ),
        Verdict(
            f"{BUSY:.0%} -> {CLAIMED_BUSY:.0%} busy",
            HOLDS if abs(both.busy.mean - CLAIMED_BUSY) < NEAR else NOT,
            f"work is conserved: the same load on {few} of {many} GPUs is {exact:.0%} (simulated "
            f"{both.busy.text(1, 100)} %); 75 % takes {MORE:g} x the load (simulated {more.busy.text(1, 100)} %, p95 "
            f"{_percent(more.compared(before, 0.95).mean)}) or {many * BUSY / CLAIMED_BUSY:.1f} GPUs on average",
        ),
        Verdict(
            f"{CLAIMED_LATENCY:.0%} latency",
            ONLY_IF if least <= CLAIMED_LATENCY else NOT,
            f"sharing alone: median {_percent(alone.mean)}; side by side takes off at most the shorter branch "
            f"({sweeps[0].saving:.0%} of the time here); both: {_percent(both.compared(before, 0.5).mean)}; best of "
            f"all mixes: {_percent(least)} with {best.name}",
        ),
        Verdict(
            f"{CLAIMED_COST:.0%} cost",
            (ONLY_IF if bad else HOLDS) if same and abs(saved - CLAIMED_COST) < NEAR else NOT,
            f"the first line holds: half the GPUs, as many documents, {_percent(saved)} for a document; paid for with "
            f"p95 {_percent(tail.mean)}",
        ),
    ]
    return [*found, _equal_latency(rows), *_autoscaling(day)]


def _equal_latency(rows: list[Measured]) -> Verdict:
    """Like with like: dedicated in parallel against shares in parallel."""
    goal = rows[1]
    tried = [rows[3], *rows[5:]]
    changes = [(round(each.gpus.mean), each.compared(goal, 0.95).mean) for each in tried]
    enough = [gpus for gpus, worse in changes if worse <= SAME]
    whole = round(goal.gpus.mean)
    listed = ", ".join(f"{gpus}: {_percent(worse)}" for gpus, worse in changes)
    text = f"p95 against {whole} dedicated in parallel, by GPUs: {listed}"
    claim = f"fewer than {whole} GPUs at equal p95"
    return Verdict(claim, HOLDS, f"{min(enough)} do; {text}") if enough else Verdict(claim, NOT, text)


def _autoscaling(day: list[Measured]) -> list[Verdict]:
    if not day:
        return []
    whole, six, scaled = day
    good = scaled.gpus.mean <= CLAIMED_GPUS * (1 + NEAR) and scaled.busy.mean >= CLAIMED_BUSY - NEAR
    return [
        Verdict(
            f"autoscaling: {CLAIMED_GPUS:g} GPUs at {CLAIMED_BUSY:.0%}",
            HOLDS if good else NOT,
            f"{scaled.gpus.text(1)} GPUs {scaled.busy.text(0, 100)} % busy over a day; per document "
            f"{_percent(scaled.cost.mean / whole.cost.mean - 1)} of the dedicated cost, but p95 "
            f"{_percent(scaled.compared(six, 0.95).mean)} against a fixed {six.gpus.mean:.0f} and "
            f"{_percent(scaled.compared(whole, 0.95).mean)} against {whole.gpus.mean:.0f} dedicated",
        )
    ]


def _gpus(pipeline: Pipeline) -> int:
    return math.ceil(pipeline.gpus_asked() - 1e-9)


def _share(station: Station, gpus: float) -> Station:
    return replace(station, gpus=gpus) if 0 < station.gpus < 1 else station


def _percent(change: float) -> str:
    return f"{change:+.0%}"
