"""Replicas of a Serve config in the workers of groups: each thing that Serve can ask for."""

import itertools
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rayops.errors import RayopsError
from rayops.fit.fits import Fit, fits
from tests.unit.fit.objects import Obj, group, pod, service


def serve(*deployments: Obj, **application: Any) -> str:
    named = [{"name": f"D{number}", **each} for number, each in enumerate(deployments)]
    app = {"name": "app", "import_path": "a:b", "deployments": named, **application}
    return yaml.safe_dump({"applications": [app]})


def deployment(cpus: float = 1, replicas: int = 1, gpus: float = 0, **more: Any) -> Obj:
    options = {"num_cpus": cpus, **({"num_gpus": gpus} if gpus else {})}
    return {"num_replicas": replicas, "ray_actor_options": options, **more}


def workers(cpus: int, most: int, gpus: int = 0, name: str = "cpu", **more: Any) -> Obj:
    return group(
        name, most=most, template=pod(cpu=str(cpus), **({"nvidia.com_gpu": str(gpus)} if gpus else {})), **more
    )


def at_most(text: str, *groups: Obj) -> Fit:
    return fits(service(*groups, serve=text), at="max")


def test_one_cpu_is_the_default() -> None:
    assert at_most(serve({"num_replicas": 4}), workers(2, 2)).ok
    assert at_most(serve({"num_replicas": 4, "ray_actor_options": {"num_cpus": None}}), workers(2, 2)).ok
    found = at_most(serve({"num_replicas": 5}), workers(2, 2))
    (left,) = found.unplaced
    assert (found.ok, left.deployment.name, left.replicas, left.never) == (False, "D0", 1, False)
    assert left.why == "the workers are full: cpu (2)"


def test_no_group_can_ever_hold_it() -> None:
    found = at_most(serve(deployment(gpus=1)), workers(8, 3))
    (left,) = found.unplaced
    assert left.never
    assert left.why == "asks 1 CPU, 1 GPU: group head has 0 CPU; group cpu has 0 GPU"


def test_a_fraction_lies_on_one_gpu() -> None:
    assert at_most(serve(deployment(0, 4, 0.5)), workers(1, 1, 2)).ok
    assert not at_most(serve(deployment(0, 3, 0.6)), workers(1, 1, 2)).ok


def test_memory_and_custom_resources() -> None:
    asks = deployment(1)
    asks["ray_actor_options"] |= {"memory": 2**30, "resources": {"disk": 1}}
    there = workers(4, 1, rayStartParams={"resources": '{"disk": 1}'})
    assert at_most(serve(asks), there).ok
    assert not at_most(serve(asks, asks), there).ok
    (left,) = at_most(serve(asks), workers(4, 1)).unplaced
    assert "group cpu has 0 disk" in left.why
    asks["ray_actor_options"] |= {"memory": 3 * 2**30}
    (left,) = at_most(serve(asks), there).unplaced
    assert "3Gi of memory" in left.why
    assert "group cpu has 2Gi of memory" in left.why


def test_a_label_chooses_the_group_and_a_fallback_another() -> None:
    text = deployment()
    text["ray_actor_options"]["label_selector"] = {"tier": "b"}
    groups = [workers(1, 1, labels={"tier": "a"}), workers(1, 1, name="other", labels={"tier": "b"})]
    assert at_most(serve(text), *groups).workers == {"other": 1}
    assert not at_most(serve({**text, "num_replicas": 2}), *groups).ok
    text["ray_actor_options"]["fallback_strategy"] = [{"label_selector": {"tier": "a"}}]
    assert at_most(serve({**text, "num_replicas": 2}), *groups).ok


def test_max_replicas_per_node() -> None:
    assert not at_most(serve(deployment(0.1, 3, max_replicas_per_node=1)), workers(4, 2)).ok
    assert at_most(serve(deployment(0.1, 4, max_replicas_per_node=2)), workers(4, 2)).ok


@pytest.mark.parametrize(
    ("strategy", "sizes", "ok"),
    [
        ("PACK", (2, 2), True),
        ("PACK", (4, 0), True),
        ("SPREAD", (4, 0), True),
        ("STRICT_PACK", (4, 0), True),
        ("STRICT_PACK", (3, 3), False),
        ("STRICT_SPREAD", (2, 2), True),
        ("STRICT_SPREAD", (4, 0), False),
    ],
)
def test_strategies_of_a_placement_group(strategy: str, sizes: tuple[int, int], ok: bool) -> None:
    """Two bundles of two CPUs, on a worker of each size."""
    asks = {"placement_group_bundles": [{"CPU": 2}, {"CPU": 2}], "placement_group_strategy": strategy}
    groups = [workers(size, 1, name=f"g{n}") for n, size in enumerate(sizes) if size]
    assert at_most(serve({"num_replicas": 1, **asks}), *groups).ok == ok


def test_hosts_of_a_replica_are_workers_each() -> None:
    bundles = [{"CPU": 1, "GPU": 8}, {"GPU": 8}]
    asks = {"num_replicas": 1, "placement_group_bundles": bundles, "placement_group_strategy": "STRICT_SPREAD"}
    assert at_most(serve(asks), workers(8, 1, 8, numOfHosts=2)).ok
    assert not at_most(serve(asks), workers(8, 1, 8)).ok


def test_without_scaling_only_what_is_there_counts() -> None:
    text = serve(deployment(1, autoscaling_config={"min_replicas": 2, "max_replicas": 4}) | {"num_replicas": None})
    there = workers(1, 4, fewest=1, start=2)
    assert not fits(service(there, serve=text, enableInTreeAutoscaling=True), at="min").ok
    assert fits(service(there, serve=text), at="min").ok
    assert fits(service(there, serve=text), at="max").ok


def test_an_endless_group_holds_what_fits_one_worker() -> None:
    assert at_most(serve(deployment(1, 500)), workers(2, 1) | {"maxReplicas": None}).ok
    assert not at_most(serve(deployment(3)), workers(2, 1) | {"maxReplicas": None}).ok


def test_a_head_with_cpus_is_a_worker() -> None:
    made = service(serve=serve(deployment(1)))
    assert not fits(made, at="max").ok
    made["spec"]["rayClusterConfig"]["headGroupSpec"]["rayStartParams"] = {"num-cpus": "1"}
    assert fits(made, at="max").workers == {"head": 1}


def test_a_model_of_ray_serve_llm_asks_for_a_gpu_a_device() -> None:
    model: Obj = {
        "model_loading_config": {"model_id": "org/m-1.5"},
        "engine_kwargs": {"tensor_parallel_size": 4},
        "accelerator_type": "L4",
    }
    text = serve(import_path="ray.serve.llm:build_openai_app", args={"llm_configs": [model]})
    found = at_most(text, workers(8, 1), workers(8, 1, 4, name="gpu"))
    assert found.ok
    assert {name for _, inside in found.packing.bins for name in inside} == {
        "app/LLMServer:org--m-1_5#0",
        "app/LLMServer:org--m-1_5#1",
        "app/OpenAiIngress",
    }
    (left,) = at_most(text, workers(8, 1), workers(8, 1, 2, name="gpu")).unplaced
    assert (left.deployment.name, left.replicas) == ("LLMServer:org--m-1_5", 1)


def test_fragmentation_is_said() -> None:
    """Two workers of two CPUs: small ones on each leave no room for one of two CPUs."""
    found = at_most(serve(deployment(2), deployment(1, 2)), workers(2, 2))
    assert found.ok
    assert found.stuck == "D0 (2 CPU) finds no room once others lie so: 2 of group cpu with 1 D1"
    assert at_most(serve(deployment(2), deployment(1, 2)), workers(2, 3)).stuck == ""


def test_the_bundles_of_one_replica_bar_workers_for_each_other() -> None:
    bundles = {"placement_group_bundles": [{"CPU": 3}, {"CPU": 3}], "placement_group_strategy": "STRICT_SPREAD"}
    assert at_most(serve({"num_replicas": 2, **bundles}), workers(4, 4)).stuck == ""
    found = at_most(serve({"num_replicas": 1, **bundles}, deployment(2, 2)), workers(4, 3))
    assert found.ok
    assert found.stuck.startswith("D0 (3 CPU) finds no room")
    assert at_most(serve({"num_replicas": 1, **bundles}, deployment(2, 1)), workers(4, 3)).stuck == ""


def test_what_cannot_be_read_is_named() -> None:
    with pytest.raises(RayopsError, match=r"^RayService n/s: serveConfigV2: .*many"):
        at_most(serve({"num_replicas": "many"}), workers(1, 1))
    with pytest.raises(RayopsError, match=r"^RayService n/s: group cpu: "):
        at_most(serve(), workers(1, 1, rayStartParams={"num-cpus": "x"}))


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 2),
    st.lists(st.integers(1, 2), min_size=2, max_size=3),
    st.lists(st.integers(1, 3), min_size=1, max_size=4),
)
def test_strict_spread_as_the_placement_groups_themselves_say_it(
    replicas: int, bundles: list[int], there: list[int]
) -> None:
    """The limit that stands for it, against every assignment of each replica's bundles to workers of its own."""
    asks = {
        "num_replicas": replicas,
        "placement_group_bundles": [{"CPU": size} for size in bundles],
        "placement_group_strategy": "STRICT_SPREAD",
    }
    groups = [workers(size, 1, name=f"g{number}") for number, size in enumerate(there)]

    def place(left: int, free: tuple[int, ...]) -> bool:
        if not left:
            return True
        for places in itertools.permutations(range(len(there)), len(bundles)):
            after = list(free)
            for place_of, size in zip(places, bundles, strict=True):
                after[place_of] -= size
            if min(after) >= 0 and place(left - 1, tuple(after)):
                return True
        return False

    assert at_most(serve(asks), *groups).ok == place(replicas, tuple(there))
