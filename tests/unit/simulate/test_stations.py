"""Queues, replicas, GPUs and the flow, in small cases that one can work out by hand."""

from collections.abc import Callable
from random import Random

import pytest
from simpy import Environment

from rayops.errors import RayopsError
from rayops.simulate.engine import Load, simulate
from rayops.simulate.gpus import Gpus, Place, Processor
from rayops.simulate.model import Pipeline, Station, Workers, sequential
from rayops.simulate.stations import Desk

NO_GPU = Workers(1, 0, 0)


def desk(station: Station, workers: Workers = NO_GPU, *, sees_gpu: bool = False) -> Desk:
    env = Environment()
    return Desk(env, station, Gpus(env, workers, 1.0), Random(1), sees_gpu=sees_gpu)  # noqa: S311


def ask(desk: Desk, *works: float) -> list[tuple[float, bool]]:
    """Ask for all at once; the time of each answer and whether it was a good one, in their order."""
    answers: list[tuple[float, bool]] = []
    for work in works:
        desk.request(work, lambda ok: answers.append((round(desk.env.now, 6), ok)))
    desk.env.run()
    return answers


def ends(speed: float, *works: float) -> list[float]:
    env = Environment()
    processor = Processor(env, speed)
    seen: list[float] = []
    for work in works:
        processor.add(work, lambda: seen.append(round(env.now, 6)))
    env.run()
    return seen


@pytest.mark.parametrize(
    ("speed", "works", "expected"),
    [
        (1.0, [2.0], [2.0]),
        (0.5, [2.0], [2.0]),  # alone nothing is shared
        (1.0, [1.0, 2.0], [2.0, 3.0]),
        (0.5, [1.0, 2.0], [4.0, 5.0]),
        (2.0, [1.0, 2.0], [1.0, 2.0]),
        (2.0, [1.0, 1.0, 1.0, 1.0], [2.0, 2.0, 2.0, 2.0]),
        (8.0, [1.0, 3.0, 2.0], [1.0, 2.0, 3.0]),
    ],
)
def test_jobs_share_a_processor_in_equal_parts(speed: float, works: list[float], expected: list[float]) -> None:
    assert ends(speed, *works) == expected


def test_a_job_that_comes_later_slows_the_one_that_is_there() -> None:
    env = Environment()
    processor = Processor(env, 1.0)
    seen: list[float] = []
    processor.add(2.0, lambda: seen.append(env.now))
    env.run(until=1.0)
    processor.add(0.5, lambda: seen.append(env.now))
    env.run()
    assert seen == pytest.approx([2.0, 2.5])
    assert processor.busy_until_now() == pytest.approx(2.5)


def test_what_a_replica_holds_waits_in_it_and_the_rest_in_front() -> None:
    """One worked on, one in the replica, one in the queue, the fourth refused at once."""
    station = Station("A", 1.0, 0.0, max_ongoing=2, max_queued=1)
    assert ask(desk(station), 1.0, 1.0, 1.0, 1.0) == [(0.0, False), (1.0, True), (2.0, True), (3.0, True)]


def test_no_limit_of_the_queue_refuses_nobody() -> None:
    assert all(ok for _, ok in ask(desk(Station("A", 1.0, 0.0, max_ongoing=1)), *[0.1] * 50))


def test_no_queue_refuses_all_that_finds_no_replica() -> None:
    answers = ask(desk(Station("A", 1.0, 0.0, max_ongoing=1, max_queued=0)), 1.0, 1.0)
    assert answers == [(0.0, False), (1.0, True)]


def test_a_call_goes_to_the_shorter_of_two() -> None:
    """Two replicas, four calls: two each, whatever the chance says."""
    answers = ask(desk(Station("A", 1.0, 0.0, max_ongoing=9, replicas=2)), 1.0, 1.0, 1.0, 1.0)
    assert [when for when, _ in answers] == [1.0, 1.0, 2.0, 2.0]


def test_a_full_pair_does_not_hide_a_replica_with_room() -> None:
    answers = ask(desk(Station("A", 1.0, 0.0, max_ongoing=1, max_queued=0, replicas=9)), *[1.0] * 9)
    assert answers == [(1.0, True)] * 9


def test_a_router_that_sees_gpus_avoids_the_busy_one() -> None:
    one = desk(Station("A", 1.0, 0.0, max_ongoing=9, replicas=2, gpus=1.0), Workers(2, 1, 1), sees_gpu=True)
    one.replicas[0].place.processor.add(10.0, lambda: None)
    assert ask(one, 1.0, 1.0) == [(1.0, True), (2.0, True)]  # the second: as many jobs there, fewer calls
    assert one.replicas[0].place.processor.busy_until_now() == pytest.approx(11.0)


def constant(name: str, seconds: float, **more: object) -> Station:
    return Station(name, seconds, 0.0, max_ongoing=9, **more)  # type: ignore[arg-type]


def latency(pipeline: Pipeline) -> float:
    """Of one document that is alone."""
    return simulate(pipeline, Load(0.001), seconds=3000, seed=2).latencies[0]


def test_branches_side_by_side_take_as_long_as_the_slower_one() -> None:
    stations = (constant("A", 1.0), constant("B", 2.0), constant("C", 3.0), constant("D", 0.5))
    flow = ((("A",),), (("B",), ("C", "D")))
    pipeline = Pipeline("p", stations, flow, NO_GPU)
    assert latency(pipeline) == pytest.approx(1.0 + 3.5)
    assert latency(sequential(pipeline)) == pytest.approx(6.5)


@pytest.mark.parametrize(("at_once", "replicas", "rounds"), [(0, 4, 1), (1, 4, 4), (3, 4, 2), (0, 1, 4)])
def test_pages_run_as_many_at_once_as_they_may(at_once: int, replicas: int, rounds: int) -> None:
    """Four pages of a second each."""
    station = Station("A", 1.0, 0.0, max_ongoing=1, per_page=True, at_once=at_once, replicas=replicas)
    pipeline = Pipeline("p", (station,), ((("A",),),), NO_GPU, pages=1e9, most_pages=4)
    assert latency(pipeline) == pytest.approx(rounds)


def test_a_refused_call_refuses_its_document_once_and_asks_for_nothing_more() -> None:
    read = constant("A", 1.0, per_page=True, max_queued=0)
    read = Station(**{**vars(read), "max_ongoing": 1})
    later = constant("B", 1.0)
    pipeline = Pipeline("p", (read, later), ((("A",),), (("B",),)), NO_GPU, pages=1e9, most_pages=4)
    run = simulate(pipeline, Load(0.01), seconds=2000, seed=1)
    assert run.refused == run.arrived > 5
    assert run.stations["B"].done_per_s == 0
    assert run.stations["A"].refused == run.refused


def test_the_same_seed_gives_the_same_run_and_another_seed_another() -> None:
    station = Station("A", 1.0, 1.0, max_ongoing=1, replicas=2)
    pipeline = Pipeline("p", (station,), ((("A",),),), NO_GPU)
    one, two, three = (simulate(pipeline, Load(1.0), seconds=200, seed=seed) for seed in (1, 1, 2))
    assert one == two
    assert one != three


def test_variants_see_the_same_documents() -> None:
    """Common random numbers: arrivals and work do not depend on the replicas."""
    few, many = (Station("A", 1.0, 1.0, max_ongoing=1, replicas=count) for count in (1, 9))
    runs = [
        simulate(Pipeline("p", (one,), ((("A",),),), NO_GPU), Load(0.1), seconds=900, seed=4) for one in (few, many)
    ]
    assert runs[0].arrived == runs[1].arrived
    assert sum(runs[0].latencies) >= sum(runs[1].latencies)
    assert runs[0].latencies[0] == pytest.approx(runs[1].latencies[0])


def gpus(workers: Workers) -> Gpus:
    return Gpus(Environment(), workers, 1.0)


def settle(gpus: Gpus, name: str, share: float, count: int = 1) -> list[Place]:
    return [gpus.settle(Station(name, 1.0, 1.0, gpus=share)) for _ in range(count)]


def test_ray_fills_one_gpu_of_a_worker_before_the_next() -> None:
    places = settle(gpus(Workers(4, 1, 1)), "A", 0.25, 5)
    assert [place.gpus[0] is places[0].gpus[0] for place in places] == [True, True, True, True, False]


def test_serve_spreads_a_deployment_over_workers() -> None:
    pool = gpus(Workers(1, 3, 3))
    assert len({id(place.worker) for place in settle(pool, "A", 0.25, 3)}) == 3
    assert len({id(place.worker) for place in settle(pool, "B", 0.25, 3)}) == 3


def test_a_replica_of_four_gpus_takes_four_of_one_worker() -> None:
    pool = gpus(Workers(4, 2, 2))
    settle(pool, "A", 0.25)
    (place,) = settle(pool, "B", 4.0)
    assert len(place.gpus) == 4
    assert place.processor.gpus == 4
    assert place.worker is pool.workers[1]


@pytest.mark.parametrize(("share", "count"), [(1.0, 5), (0.25, 17), (3.0, 2)])
def test_more_than_the_gpus_hold_is_one_line_with_the_way_out(share: float, count: int) -> None:
    with pytest.raises(RayopsError, match=r"A: 1 replicas of .* GPU need more than 1 workers of 4") as raised:
        settle(gpus(Workers(4, 1, 1)), "A", share, count)
    assert "--gpus" in str(raised.value.hint)


def steps(pool: Gpus, *actions: tuple[float, Callable[[], object]]) -> None:
    for when, action in actions:
        if when > pool.env.now:
            pool.env.run(until=when)
        action()


def test_a_worker_starts_when_a_replica_finds_no_room_and_ends_when_it_stays_empty() -> None:
    pool, station = gpus(Workers(1, 0, 2, start_s=60, idle_s=30)), Station("A", 1.0, 1.0, gpus=0.5)
    places: list[Place] = []
    for _ in range(3):
        pool.place(station, places.append)
    assert places == []
    steps(pool, (59.0, lambda: None))
    assert places == []
    steps(pool, (61.0, lambda: None))
    assert len(places) == 3
    assert len(pool.workers) == 2
    assert pool.held() == pytest.approx(2 * 61)
    third = next(place for place in places if sum(each.worker is place.worker for each in places) == 1)
    steps(pool, (70.0, lambda: pool.release(third)), (99.0, lambda: None))
    assert len(pool.workers) == 2
    steps(pool, (101.0, lambda: None))
    assert len(pool.workers) == 1
    assert pool.held() == pytest.approx(100 + 101)


def test_two_small_replicas_wait_for_one_worker_together() -> None:
    pool, station = gpus(Workers(1, 0, 5, start_s=60)), Station("A", 1.0, 1.0, gpus=0.25)
    places: list[Place] = []
    for _ in range(4):
        pool.place(station, places.append)
    pool.env.run(until=100)
    assert len(pool.workers) == 1
    assert len(places) == 4


def test_a_worker_that_is_used_again_stays() -> None:
    pool = gpus(Workers(1, 0, 1, idle_s=30))
    (place,) = settle(pool, "A", 1.0)
    steps(pool, (10.0, lambda: pool.release(place)), (30.0, lambda: settle(pool, "B", 1.0)), (100.0, lambda: None))
    assert len(pool.workers) == 1


def test_documents_that_nobody_will_ever_answer_are_an_error_not_an_endless_run() -> None:
    # Two replicas that need a worker each, where there is only one: the second waits for ever. Nothing has a replica.
    from rayops.simulate.model import Scaling

    scaling = Scaling(min_replicas=0, max_replicas=1, metrics_interval_s=10)
    station = Station("A", 1.0, 1.0, gpus=2.0, replicas=0, scaling=scaling)
    pipeline = Pipeline("p", (station,), ((("A",),),), Workers(1, 0, 1))
    with pytest.raises(RayopsError, match="never answered"):
        simulate(pipeline, Load(0.1), seconds=100, seed=1)
