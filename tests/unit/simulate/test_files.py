"""The simulation reads the files of the cluster, and a wrong one is one line with file and field."""

from dataclasses import replace
from pathlib import Path

import pytest

from rayops.errors import RayopsError
from rayops.paths import ROOT
from rayops.simulate import model
from rayops.simulate.model import Workers, load
from tests.unit.simulate.conftest import change


def test_it_reads_what_the_cluster_reads(checkout: Path) -> None:
    pipeline, spec = load("demo", "dev", checkout)
    read, tag, write = (pipeline.station(name) for name in ("Read", "Tag", "Write"))
    assert (read.replicas, read.scaling and read.scaling.max_replicas, read.max_ongoing) == (1, 4, 4)
    assert read.scaling is not None
    assert (read.scaling.target_ongoing_requests, read.scaling.upscale_delay_s) == (2.0, 3.0)
    assert read.scaling.downscale_delay_s == 600.0  # Ray's default
    assert read.max_queued == 2 * 32  # a queue for each replica of the ingress
    assert read.at_once == 3  # a setting of the ingress
    assert (tag.replicas, tag.gpus, tag.max_queued) == (2, 0.25, -1)
    assert (write.gpus, write.concurrency, write.speed) == (2.0, 4, 1.0)
    assert pipeline.workers == Workers(2, 0, 2, start_s=60, idle_s=60)
    assert pipeline.in_flight == 2 * 16
    assert pipeline.flow == ((("Read",),), (("Tag",), ("Sort",)), (("Write",),))
    assert spec.stages["Read"].service_s.measured


def test_a_number_of_the_cluster_changes_the_simulation(checkout: Path) -> None:
    change(checkout, "sizing.env", "gpuMax=2", "gpuMax=5")
    change(checkout, "serve.yaml", "{in_flight: 16}", "{in_flight: 100}")
    pipeline, _ = load("demo", "dev", checkout)
    assert pipeline.workers.most == 5
    assert pipeline.in_flight == 2 * 64  # what Serve lets through


@pytest.mark.parametrize(
    ("name", "before", "after", "said"),
    [
        ("simulation.yaml", "mean: 0.5, cv: 1", "mean: -1, cv: 1", r"simulation\.yaml: stages\.Tag\.service_s\.mean"),
        ("simulation.yaml", "cv: 1,", "cv: 1, sigma: 2,", r"stages\.Tag\.service_s\.sigma: Extra inputs"),
        (
            "simulation.yaml",
            ', assumed: "made up for the tests"}',
            "}",
            r"pages: .*`measured: where` or `assumed: why`",
        ),
        ("simulation.yaml", "flow: [Read,", "flow: [Raed,", r"flow names Raed, which stages has not"),
        ("simulation.yaml", "flow: [Read,", "flow: [Read, Read,", r"flow names Read twice"),
        ("simulation.yaml", "flow: [Read,", "flow: [", r"stages\.Read is in no step of flow"),
        (
            "simulation.yaml",
            "at_once: pages_in_flight",
            "at_once: pages",
            r"stages\.Read\.at_once: user_config of Ingress",
        ),
        ("simulation.yaml", "layout: pool,", "layout: pond,", r"mixes\.pooled\.layout: no layout pond"),
        ("simulation.yaml", "flow:", "flow: [", r"simulation\.yaml is not YAML"),
        ("serve.yaml", "name: Tag", "name: Tagger", r"stages\.Tag: no such deployment in .*serve\.yaml"),
        ("serve.yaml", "max_ongoing_requests: 4", "max_ongoing_requests: 0", r"serve\.yaml: .*1\.max_ongoing_requests"),
        ("serve.yaml", "max_replicas: 4", "max_replicas: many", r"serve\.yaml: .*autoscaling_config\.max_replicas"),
        ("serve.yaml", "applications:", "applications: 3 #", r"serve\.yaml is not YAML|serve\.yaml: applications"),
        ("sizing.env", "gpuMax=2", "gpuMax=two", r"sizing\.env: gpuMax"),
        ("sizing.env", "gpuGpus=2\n", "", r"sizing\.env: gpuGpus: Field required"),
        ("sizing.env", "gpuGpus=2", "gpuGpus 2", r"sizing\.env: line 4 is no NAME=VALUE"),
        ("sizing.env", "cpuMax=2", "cpuMax=1", r"sizing\.env: cpuMax: 4 CPUs at most, the deployments ask for 5"),
    ],
)
def test_a_wrong_file_is_one_line_that_names_the_field(
    checkout: Path, name: str, before: str, after: str, said: str
) -> None:
    change(checkout, name, before, after)
    with pytest.raises(RayopsError, match=said) as raised:
        load("demo", "dev", checkout)
    assert name in raised.value.message or "serve.yaml" in raised.value.message


def test_a_deployment_that_the_simulation_forgot_is_named(checkout: Path) -> None:
    change(checkout, "simulation.yaml", "flow: [Read, {parallel: [Tag, Sort]}, Write]", "flow: [Read, Tag, Write]")
    file = checkout / "apps/demo/simulation.yaml"
    text = file.read_text()
    file.write_text("".join(line + "\n" for line in text.split("claim:")[0].splitlines() if "  Sort:" not in line))
    with pytest.raises(RayopsError, match=r"simulation\.yaml: stages: Sort of .*serve\.yaml is missing"):
        load("demo", "dev", checkout)


@pytest.mark.parametrize("name", ["apps/demo/simulation.yaml", "overlays/dev/demo/sizing.env"])
def test_a_missing_file_is_named_with_the_way_out(checkout: Path, name: str) -> None:
    (checkout / name).unlink()
    with pytest.raises(RayopsError, match=f"{Path(name).name} is missing") as raised:
        load("demo", "dev", checkout)
    assert raised.value.hint


@pytest.mark.parametrize("file", sorted(ROOT.glob("apps/*/simulation.yaml")), ids=lambda file: file.parent.name)
def test_every_simulation_file_fits_the_overlays_of_its_pipeline(file: Path) -> None:
    name = file.parent.name.replace("_", "-")
    environments = [overlay.parent.name for overlay in ROOT.glob(f"overlays/*/{name}")]
    assert environments
    for environment in environments:
        pipeline, _ = load(name, environment)
        assert pipeline.name == name


def test_variants_change_what_they_say(checkout: Path) -> None:
    pipeline, _ = load("demo", "dev", checkout)
    assert pipeline.gpus_asked() == 3.0
    assert model.dedicated(pipeline).gpus_asked() == 6.0
    assert model.fixed(pipeline).station("Read").replicas == 4
    assert model.fixed(pipeline).workers.least == 2
    assert model.on_gpus(pipeline, 9).workers == Workers(9, 1, 1)
    assert model.sequential(pipeline).flow == ((("Read",),), (("Tag",),), (("Sort",),), (("Write",),))
    assert model.with_replicas(pipeline, {"Tag": 7}).station("Tag").replicas == 7
    with pytest.raises(RayopsError, match="no deployment Nope"):
        model.with_replicas(pipeline, {"Nope": 7})


def test_gpu_work_counts_every_gpu_that_a_call_occupies(checkout: Path) -> None:
    pipeline, _ = load("demo", "dev", checkout)
    assert pipeline.gpu_work() == pytest.approx(0.5 + 0.5 + 2 * 0.6)
    assert pipeline.calls(pipeline.station("Read")) == pytest.approx(3.0)
    short = replace(pipeline, most_pages=1)
    assert short.calls(short.station("Read")) == pytest.approx(1.0)
