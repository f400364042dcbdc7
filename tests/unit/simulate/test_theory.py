"""The simulation agrees with what queueing theory says, within the confidence interval of several fixed seeds."""

import math
from collections.abc import Callable
from statistics import fmean, stdev

import pytest

from rayops.simulate import closed_forms as theory
from rayops.simulate import engine
from rayops.simulate.engine import Load, Run, simulate
from rayops.simulate.model import Pipeline, Station, Workers

SEEDS = range(101, 109)
NO_GPU = Workers(1, 0, 0)
MANY = 10_000


def alone(station: Station, **more: object) -> Pipeline:
    return Pipeline("one", (station,), (((station.name,),),), **{"workers": NO_GPU, **more})  # type: ignore[arg-type]


def agrees(pipeline: Pipeline, rate: float, exact: float, value: Callable[[Run], float], documents: int = 2000) -> None:
    """The mean over the seeds is within four standard errors, and these are small enough to mean something."""
    seconds = documents / rate
    values = [value(simulate(pipeline, Load(rate), seconds=seconds, seed=seed, warmup=seconds / 4)) for seed in SEEDS]
    error = stdev(values) / math.sqrt(len(values))
    assert error < 0.06 * exact, "too noisy to tell anything"
    assert abs(fmean(values) - exact) < 4 * error + 1e-9, (fmean(values), exact, error)


def stay(run: Run) -> float:
    return run.mean


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_one_server_first_come_first_served(load: float) -> None:
    agrees(alone(Station("A", 1.0, 1.0, max_ongoing=1)), load, theory.mmc_stay(load, 1.0), stay)


@pytest.mark.parametrize(("servers", "load"), [(2, 0.7), (4, 0.8)])
def test_several_servers_with_one_queue_are_erlang_c(servers: int, load: float) -> None:
    station = Station("A", 1.0, 1.0, max_ongoing=1, replicas=servers)
    agrees(alone(station), load * servers, theory.mmc_stay(load * servers, 1.0, servers), stay)


@pytest.mark.parametrize("cv", [0.0, 0.5, 1.5])
def test_any_service_time_is_pollaczek_khinchine(cv: float) -> None:
    agrees(alone(Station("A", 2.0, cv, max_ongoing=1)), 0.3, theory.mg1_stay(0.3, 2.0, cv), stay)


@pytest.mark.parametrize("cv", [0.0, 1.0, 2.0])
def test_processor_sharing_does_not_mind_how_the_work_is_spread(cv: float) -> None:
    station = Station("A", 1.0, cv, max_ongoing=MANY, concurrency=MANY, speed=1.0)
    agrees(alone(station), 0.6, theory.sharing_stay(0.6, 1.0), stay)


@pytest.mark.parametrize("speed", [0.8, 1.0, 1.5, 2.0])
def test_a_shared_gpu_with_interference_or_overlap_is_a_birth_and_death_process(speed: float) -> None:
    gpu = Station("A", 1.0, 1.0, max_ongoing=MANY, concurrency=MANY, gpus=0.5)
    exact = theory.birth_death_stay(0.6, 1.0, lambda calls: 1.0 if calls == 1 else min(calls, speed))
    agrees(alone(gpu, workers=Workers(1, 1, 1), speed=speed), 0.6, exact, stay)


def test_two_deployments_share_one_gpu_as_if_they_were_one() -> None:
    """A document visits one after the other, and the GPU does the work of both."""
    a, b = (Station(name, 0.5, 1.0, max_ongoing=MANY, concurrency=MANY, gpus=0.25) for name in "AB")
    pipeline = Pipeline("two", (a, b), ((("A",),), (("B",),)), Workers(1, 1, 1))
    # A PS node visited twice: a product form, each visit 0.5 / (1 - load) (Baskett, Chandy, Muntz, Palacios 1975).
    agrees(pipeline, 0.6, 2 * theory.sharing_stay(0.6, 1.0) / 2, stay)


def test_stations_in_a_row_are_burke() -> None:
    a, b = Station("A", 1.0, 1.0, max_ongoing=1), Station("B", 0.8, 1.0, max_ongoing=1)
    pipeline = Pipeline("row", (a, b), ((("A",),), (("B",),)), NO_GPU)
    agrees(pipeline, 0.6, theory.tandem_stay(0.6, [1.0, 0.8]), stay)


@pytest.mark.parametrize(("servers", "queue"), [(1, 3), (3, 2)])
def test_a_full_queue_refuses_as_often_as_theory_says(servers: int, queue: int) -> None:
    station = Station("A", 1.0, 1.0, max_ongoing=1, replicas=servers, max_queued=queue)
    exact = theory.mmck_refused(0.9 * servers, 1.0, servers, servers + queue)
    agrees(alone(station), 0.9 * servers, exact, lambda run: run.refused / run.arrived)


def test_the_ingress_refuses_what_is_beyond_its_places() -> None:
    station = Station("A", 1.0, 1.0, max_ongoing=1)
    exact = theory.mmck_refused(0.9, 1.0, 1, 4)
    agrees(alone(station, in_flight=4), 0.9, exact, lambda run: run.refused / run.arrived)


@pytest.mark.parametrize("gpus", [6, 12])
def test_work_is_conserved_on_any_number_of_gpus(gpus: int) -> None:
    """12 -> 6 GPUs at the same load doubles their use, and nothing else can."""
    station = Station("A", 4.0, 1.0, max_ongoing=1, replicas=gpus, gpus=1.0)
    pipeline = alone(station, workers=Workers(gpus, 1, 1))
    agrees(pipeline, 0.9, theory.utilisation(0.9, pipeline.gpu_work(), gpus), lambda run: run.busy)


def test_little_s_law_holds_to_the_last_digit_when_all_have_left() -> None:
    a = Station("A", 0.4, 0.7, per_page=True, replicas=2, max_ongoing=3, at_once=2, max_queued=6)
    b, c = (Station(name, 1.0, 1.0, max_ongoing=4, replicas=2, gpus=0.5) for name in "BC")
    pipeline = Pipeline("all", (a, b, c), ((("A",),), (("B",), ("C",))), Workers(2, 1, 1), pages=3, in_flight=20)
    for seed in (1, 2):
        whole = engine._Simulation(pipeline, Load(0.9), seed)
        whole.run(0.0, 500.0)
        for name, desk in whole.desks.items():
            while desk.inside:  # calls of refused documents
                whole.env.step()
            assert desk.done > 100
            assert desk.area_until_now() == pytest.approx(desk.stay, rel=1e-9), name


def test_little_s_law_holds_over_the_measured_time() -> None:
    run = simulate(alone(Station("A", 1.0, 1.0, max_ongoing=1)), Load(0.6), seconds=20_000, seed=3, warmup=500)
    station = run.stations["A"]
    assert station.calls == pytest.approx(station.done_per_s * station.stay_s, rel=0.02)


def test_arrivals_are_poisson_also_when_the_rate_swings() -> None:
    """Mean and variance of the counts of one period are equal, and the peak is where it should be."""
    load = Load(2.0, swing=0.5, period_s=100.0)
    station = Station("A", 0.001, 0.0, max_ongoing=1)
    counts = [simulate(alone(station), load, seconds=100, seed=seed).arrived for seed in range(200)]
    assert fmean(counts) == pytest.approx(200, rel=0.02)
    assert stdev(counts) ** 2 == pytest.approx(200, rel=0.3)
    assert (load.at(0), load.at(50), load.at(25)) == pytest.approx((1.0, 3.0, 2.0))


def test_closed_forms_agree_where_they_meet() -> None:
    assert theory.mg1_stay(0.5, 1.0, 1.0) == pytest.approx(theory.mmc_stay(0.5, 1.0))
    assert theory.erlang_c(0.5, 1.0, 1) == pytest.approx(0.5)
    assert theory.erlang_c(2.0, 1.0, 3) == pytest.approx(0.4444, abs=1e-4)  # Kleinrock's tables
    assert theory.birth_death_stay(1.2, 1.0, lambda calls: min(calls, 2)) == pytest.approx(theory.mmc_stay(1.2, 1.0, 2))
    assert theory.sharing_stay(0.5, 1.0) == pytest.approx(theory.mmc_stay(0.5, 1.0))
    assert theory.mmck_refused(1.0, 1.0, 1, 4) == pytest.approx(1 / 5)
    assert theory.mmck_refused(2.0, 1.0, 2, 2) == pytest.approx(0.4)  # Erlang B
    assert theory.parallel_saving([2.0, 2.0], 5.0) == pytest.approx(0.4)
