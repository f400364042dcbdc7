"""Models without a place: what the overlays name and render, and what a worker group holds."""

from collections.abc import Callable

import pytest

from rayops.models.sync import CATALOGUE
from tests.unit.models.conftest import Checkout, group

Refused = Callable[[str, str], None]


def test_an_environment_that_is_none(checkout: Checkout, refused: Refused) -> None:
    checkout.model("small", "  environments: [local]", "  environments: [local, moon] # here")
    refused("# here", "models[small].environments[1]: there is no overlays/moon → one of: local, prod")


def test_a_split_in_an_environment_that_is_none(checkout: Checkout) -> None:
    checkout.edit("  environments: [local]\n  weights", "  environments: [moon]\n  weights")
    assert any("splits[assistant].environments[0]: there is no overlays/moon" in each for each in checkout.faults())


def test_a_pipeline_that_an_environment_has_not(checkout: Checkout, refused: Refused) -> None:
    checkout.model("huge", "  environments: [prod]", "  environments: [local, prod]")
    said = "models[huge].pipeline: no pipeline llm-70b in local → one of: embeddings, gateway, llm"
    refused("pipeline: llm-70b", said)


def test_one_line_for_all_environments(checkout: Checkout, refused: Refused) -> None:
    checkout.model("vectors", "  pipeline: embeddings", "  pipeline: vectors")
    said = "no pipeline vectors in local, prod → one of: embeddings, gateway, llm"
    faults = [fault for fault in checkout.faults() if "pipeline" in fault]
    line = checkout.line("pipeline: vectors")
    assert faults[0] == f"{CATALOGUE}:{line}: models[vectors].pipeline: {said.replace('local, prod', 'local')}"
    assert faults[1].endswith("no pipeline vectors in prod → one of: embeddings, gateway, llm, llm-70b")


def test_an_overlay_that_does_not_render(checkout: Checkout, refused: Refused) -> None:
    checkout.write("overlays/prod/llm-70b/rayservice.yaml", "broken\n")
    said = "models[huge].pipeline: overlays/prod/llm-70b: it is broken in prod → mend the overlay"
    refused("pipeline: llm-70b", said)


@pytest.mark.parametrize(
    ("application", "why"),
    [("other", "other is none of gateway"), ("gateway", "gateway is no server of models of gateway")],
)
def test_an_application_that_serves_no_models(checkout: Checkout, refused: Refused, application: str, why: str) -> None:
    checkout.model("small", "  application: llm", f"  application: {application} # here")
    refused("# here", f"models[small].application: {why} in local → one of: llm")


def test_an_environment_without_a_gateway(checkout: Checkout) -> None:
    for file in (checkout.root / "overlays/prod/gateway").iterdir():
        file.unlink()
    faults = checkout.faults()
    assert {fault.split(": ")[1] for fault in faults} == {
        "models[big].environments[1]",
        "models[big-support].environments[1]",
        "models[huge].environments[0]",
        "models[vectors].environments[1]",
    }
    assert all("no gateway in prod → " in fault for fault in faults)


def test_files_that_nothing_downloads(checkout: Checkout, refused: Refused) -> None:
    checkout.overlay("prod", "llm-70b", "llm/multi-host")
    fix = "list base/components/model-cache in overlays/ENVIRONMENT/llm-70b"
    refused('model.safetensors, sha256: "', f"models[huge].files: nothing downloads them in prod → {fix}")


def test_a_group_that_is_none(checkout: Checkout, refused: Refused) -> None:
    checkout.model("vectors", "{local: cpu, prod: gpu}", "{local: cpu, prod: tpu}")
    said = "models[vectors].group: embeddings has no worker group tpu in prod → one of: cpu, gpu"
    refused("prod: tpu", said)


def test_an_environment_without_a_group(checkout: Checkout, refused: Refused) -> None:
    checkout.model("vectors", "{local: cpu, prod: gpu}", "{local: cpu}")
    refused("{local: cpu}", "models[vectors].group: names no group in prod → one of: cpu, gpu")


def test_a_group_that_may_have_no_worker(checkout: Checkout, refused: Refused) -> None:
    checkout.model("small", "  group: cpu", "  group: gpu # here")
    fix = "gpuMax in its sizing.env, or another group"
    refused("# here", f"models[small].group: group gpu may have no worker in local → {fix}")


@pytest.mark.parametrize(
    ("arguments", "fits"),
    [
        ("{tensor_parallel_size: 8, pipeline_parallel_size: 2}", True),
        ("{tensor_parallel_size: 16}", True),
        ("{tensor_parallel_size: 2}", True),  # 65.75 of 72 GiB
        ("{tensor_parallel_size: 16, pipeline_parallel_size: 2}", False),
        ("{tensor_parallel_size: 17}", False),
    ],
)
def test_gpus_of_all_hosts(checkout: Checkout, refused: Refused, arguments: str, fits: bool) -> None:
    checkout.model("huge", "{tensor_parallel_size: 8, pipeline_parallel_size: 2}", arguments)
    if fits:
        assert checkout.faults() == []
    else:
        assert len(checkout.faults()) == 1
        line = checkout.line("group: multihost")
        assert checkout.faults()[0].startswith(f"{CATALOGUE}:{line}: models[huge].group: no place for it: it needs ")
        assert "a replica of group multihost has 16 (2 of 8) in prod → " in checkout.faults()[0]


def test_gpus_that_a_group_without_any_has_not(checkout: Checkout) -> None:
    checkout.model("small", "  size_gib: 0", "  size_gib: 0\n  engine_args: {tensor_parallel_size: 2}")
    assert "it needs 2 GPUs (tensor 2, pipeline 1), a replica of group cpu has 0 (1 of 0)" in checkout.faults()[0]


@pytest.mark.parametrize(
    ("size", "adapter", "fits"),
    [("21.3", "0.2", True), ("21.5", "0.2", False), ("13.5", "8.1", False), ("24", "0", False)],
)
def test_memory_of_a_gpu_with_the_adapters(checkout: Checkout, size: str, adapter: str, fits: bool) -> None:
    """24 GiB at 0.9 are 21.6, and something must be left for keys and values."""
    checkout.model("big", "  size_gib: 13.5", f"  size_gib: {size}")
    checkout.model("big-support", "  size_gib: 0.2", f"  size_gib: {adapter}")
    said = "models[big].group: no place for it: "
    assert [said in fault for fault in checkout.faults()] == ([] if fits else [True])


@pytest.mark.parametrize(("share", "fits"), [("0.9", True), ("0.57", True), ("0.56", False)])
def test_the_share_of_the_memory_that_the_engine_takes(checkout: Checkout, share: str, fits: bool) -> None:
    checkout.model("big", "{max_model_len: 8192}", f"{{gpu_memory_utilization: {share}}}")
    checkout.model("big-support", "  size_gib: 0.2", "  size_gib: 0.0")
    checkout.edit("{gpu: 24,", "{gpu: 24.0,")
    assert [" has 13.44 in local, prod → " in fault for fault in checkout.faults()] == ([] if fits else [True])


def test_arguments_of_the_application_hold_for_its_models(checkout: Checkout) -> None:
    engine = "    engine: {kind: ray-serve-llm, engine_args: {tensor_parallel_size: 2}}"
    checkout.edit("    engine: {kind: ray-serve-llm} # stays", engine, "apps/llm/serve.yaml")
    assert "models[big].group: no place for it: it needs 2 GPUs" in checkout.faults()[0]
    checkout.model("big", "{max_model_len: 8192}", "{tensor_parallel_size: 1}")
    assert checkout.faults() == []


@pytest.mark.parametrize(
    "arguments",
    ["{tensor_parallel_size: 0}", '{pipeline_parallel_size: "2"}', "{tensor_parallel_size: true}"],
)
def test_parts_that_are_no_number(checkout: Checkout, arguments: str) -> None:
    checkout.model("big", "{max_model_len: 8192}", arguments)
    faults = checkout.faults()
    assert len(faults) == 1
    assert f"{checkout.line(arguments)}: models[big].engine_args: tensor and pipeline parallel are " in faults[0]


@pytest.mark.parametrize("share", ["0", "1.1", "true", "most"])
def test_a_share_that_is_none(checkout: Checkout, share: str) -> None:
    checkout.model("big", "{max_model_len: 8192}", f"{{gpu_memory_utilization: {share}}}")
    assert ["models[big].engine_args: gpu_memory_utilization is " in fault for fault in checkout.faults()] == [True]


def test_a_gpu_of_which_nothing_is_said(checkout: Checkout) -> None:
    checkout.edit("{gpu: 24, multihost: 80}", "{gpu: 24}")
    said = "models[huge].group: nothing says what a GPU of group multihost holds in prod"
    fix = "`multihost: GIB` in gpu_memory_gib"
    assert [fault.partition(": ")[2] for fault in checkout.faults()] == [f"{said} → {fix}"]


@pytest.mark.parametrize(("memory", "fits"), [("103Mi", True), ("102Mi", False)])
def test_memory_of_a_worker_without_a_gpu(checkout: Checkout, memory: str, fits: bool) -> None:
    checkout.groups("local", "embeddings", [group("cpu", memory=memory)])
    said = "models[vectors].group: no place for it: 0.1 GiB, a worker of group cpu has 0.09961 of memory and no GPU in"
    assert [said in fault for fault in checkout.faults()] == ([] if fits else [True])


@pytest.mark.parametrize(("workers", "fits"), [(2, True), (1, False)])
def test_engines_beside_each_other(checkout: Checkout, refused: Refused, workers: int, fits: bool) -> None:
    """An engine has its GPUs for itself; an adapter has none of its own."""
    entry = checkout.read(CATALOGUE)
    start = entry.index("- id: big\n")
    copied = entry[start : entry.index("- id: big-support")].replace("- id: big\n", "- id: second\n")
    copied = copied.replace("  aliases: [Big, maker/Big]\n", "").replace("  group: gpu", "  group: gpu # here")
    checkout.edit("- id: huge", f"{copied}- id: huge")
    for environment in ("local", "prod"):
        checkout.groups(environment, "llm", [group("gpu", gpus=1, replicas=workers)])
    what = "no place beside big: group gpu has at most 1 GPUs in local, prod → more workers, or another group"
    if fits:
        assert checkout.faults() == []
    else:
        refused("# here", f"models[second].group: {what}")
