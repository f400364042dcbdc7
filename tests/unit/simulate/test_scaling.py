"""Autoscaling decides as Ray's own policy does, and acts in the simulation."""

from random import Random
from types import SimpleNamespace

import pytest
from ray.serve import autoscaling_policy
from ray.serve.config import AutoscalingConfig

from rayops.simulate.engine import Load, simulate
from rayops.simulate.model import Pipeline, Scaling, Station, Workers
from rayops.simulate.scaling import Policy


class Theirs:
    """Ray's policy on a clock of our own."""

    def __init__(self, config: AutoscalingConfig, clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
        self.config, self.state = config, {}  # type: ignore[var-annotated]
        monkeypatch.setattr(autoscaling_policy.time, "time", lambda: clock[0])
        self.policy = autoscaling_policy._apply_autoscaling_config(autoscaling_policy._core_replica_queue_length_policy)

    def decide(self, running: int, target: int, ongoing: float) -> int:
        context = SimpleNamespace(
            current_num_replicas=running,
            target_num_replicas=target,
            total_num_requests=ongoing,
            config=self.config,
            policy_state=self.state,
        )
        wanted, self.state = self.policy(context)
        return int(min(self.config.max_replicas, max(self.config.min_replicas, wanted)))


@pytest.mark.parametrize("seed", range(6))
def test_the_policy_decides_as_ray_s(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = Random(seed)  # noqa: S311
    values = {
        "min_replicas": chance.choice([0, 1, 2]),
        "max_replicas": chance.choice([4, 9]),
        "target_ongoing_requests": chance.choice([0.5, 2.0, 3.0]),
        "upscale_delay_s": chance.choice([0.0, 3.0, 30.0]),
        "downscale_delay_s": chance.choice([0.0, 10.0, 60.0]),
        "upscaling_factor": chance.choice([0.3, 1.0, 2.0]),
        "downscaling_factor": chance.choice([0.3, 1.0]),
    }
    clock = [1000.0]
    theirs, ours = Theirs(AutoscalingConfig(**values), clock, monkeypatch), Policy(Scaling.model_validate(values))
    running = target = max(1, int(values["min_replicas"]))
    ongoing, changes = 4.0, 0
    for _ in range(400):
        clock[0] += 2.0
        ongoing = max(0.0, ongoing + chance.uniform(-4, 4)) if chance.random() > 0.05 else 0.0
        expected = theirs.decide(running, target, ongoing)
        assert ours.decide(clock[0], running, target, ongoing) == expected
        changes += expected != target
        target = expected
        running = target if chance.random() > 0.2 else running
    assert changes


def test_defaults_are_ray_s() -> None:
    theirs = AutoscalingConfig()
    assert Scaling().model_dump() == {name: getattr(theirs, name) for name in Scaling.model_fields} | {
        "upscaling_factor": theirs.get_upscaling_factor(),
        "downscaling_factor": theirs.get_downscaling_factor(),
    }


def pipeline(**scaling: float) -> Pipeline:
    config = Scaling(max_replicas=6, metrics_interval_s=2, look_back_period_s=6, **scaling)  # type: ignore[arg-type]
    station = Station("A", 1.0, 1.0, max_ongoing=8, replicas=config.min_replicas, scaling=config, start_s=5.0)
    return Pipeline("p", (station,), ((("A",),),), Workers(1, 0, 0))


def test_load_brings_replicas_and_they_bring_the_latency_down() -> None:
    quick = simulate(pipeline(upscale_delay_s=3), Load(3.0), seconds=600, warmup=200, seed=1)
    never = simulate(pipeline(upscale_delay_s=1e6), Load(3.0), seconds=600, warmup=200, seed=1)
    assert quick.stations["A"].replicas > 3
    assert never.stations["A"].replicas == 1
    assert quick.mean < never.mean / 10


def test_replicas_end_when_the_load_does_and_finish_their_calls_first() -> None:
    swing = Load(2.0, swing=1.0, period_s=600)
    soon = simulate(pipeline(upscale_delay_s=3, downscale_delay_s=10), swing, seconds=600, seed=1)
    late = simulate(pipeline(upscale_delay_s=3, downscale_delay_s=1e6), swing, seconds=600, seed=1)
    assert soon.stations["A"].replicas < late.stations["A"].replicas
    assert soon.refused == late.refused == 0
    assert len(soon.latencies) == soon.arrived


def test_from_zero_the_first_call_brings_a_replica_at_once() -> None:
    run = simulate(pipeline(min_replicas=0, downscale_delay_s=10), Load(0.005), seconds=2000, seed=3)
    assert run.arrived > 3
    assert run.stations["A"].replicas < 0.5
    assert 5.0 < run.latencies[-1] < 20


def test_gpu_workers_are_paid_for_only_while_replicas_need_them() -> None:
    config = Scaling(min_replicas=1, max_replicas=4, metrics_interval_s=2, look_back_period_s=6, upscale_delay_s=2,
                     downscale_delay_s=20)  # fmt: skip
    station = Station("A", 1.0, 1.0, max_ongoing=8, scaling=config, gpus=1.0)
    scaled = Pipeline("p", (station,), ((("A",),),), Workers(1, 0, 4, start_s=10, idle_s=10))
    run = simulate(scaled, Load(1.5, swing=1.0, period_s=1200), seconds=1200, seed=1)
    assert 1.0 < run.gpus < 4.0
    assert run.busy > 1.5 / 4
    assert run.gpus * run.busy == pytest.approx(run.per_s * 1.0, rel=0.1)  # work is conserved
