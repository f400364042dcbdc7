"""What single components promise, beside what their golden files show."""

import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from rayops.errors import RayopsError
from rayops.paths import ROOT
from rayops.render import Obj, images, of_kind, one, render

Compose = Callable[..., Path]
Rendered = Callable[[Path], list[Obj]]
LAST = "base/rayservice"
PARTS = "base/components"
GROUPS = {"workers-spot": "spot", "workers-gpu-shared": "shared", "workers-multi-host": "multihost"}
WORKERS = [f"{PARTS}/{name}" for name in GROUPS]
COPYING = [
    f"{PARTS}/{name}" for name in ("disruption", "spread", "priority", "high-throughput", "pod-security", "grpc")
]
RUNBOOKS = "base/observability/runbooks"


def groups_of(objects: list[Obj]) -> dict[str, dict[str, Any]]:
    groups = one(objects, "RayService")["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    return {group["groupName"]: group for group in groups}


def test_component_example_has_the_numbers_that_it_reads(component: Path) -> None:
    """A number that every pipeline has anyway (overlays/local/rag) need not be in an example."""
    example = ROOT / component / "sizing.example.env"
    if not example.exists():
        return
    named = {line.split("=")[0] for line in example.read_text().splitlines() if "=" in line}
    files = [file for file in (ROOT / component).rglob("*.yaml") if "name: sizing" in file.read_text()]
    read = {name for file in files for name in re.findall(r"name: sizing, fieldPath: data\.(\w+)", file.read_text())}
    common = {line.split("=")[0] for line in (ROOT / "overlays/local/rag/sizing.env").read_text().splitlines()}
    assert named == read - common - {"pipeline", "environment"}


def test_component_order_of_worker_groups_does_not_matter(compose: Compose, kustomize: Path) -> None:
    """Before the components that change every group, or after them, as behind a profile: the same cluster."""
    early = groups_of(render(compose(*WORKERS, *COPYING[:-1], LAST), binary=kustomize))
    late = groups_of(render(compose(*COPYING[:-1], *WORKERS, LAST), binary=kustomize))
    assert list(early) == ["cpu", "gpu", "spot", "shared", "multihost"]
    assert early == late


@pytest.mark.parametrize(("name", "like"), [("workers-spot", "cpu"), ("workers-gpu-shared", "gpu")])
def test_component_gives_its_group_what_the_other_workers_have(
    name: str, like: str, compose: Compose, kustomize: Path
) -> None:
    groups = groups_of(render(compose(*COPYING, f"{PARTS}/{name}", LAST), binary=kustomize))
    ours, theirs = (groups[group]["template"]["spec"] for group in (GROUPS[name], like))
    differing = {key for key in {*ours, *theirs} if ours.get(key) != theirs.get(key)}
    assert differing == ({"containers", "affinity", "tolerations"} if like == "cpu" else {"containers"})
    (mine,), (other,) = ours["containers"], theirs["containers"]
    assert {key for key in {*mine, *other} if mine.get(key) != other.get(key)} == {"resources"}
    assert ours["priorityClassName"] == "ray-serving"
    assert "preStop" in mine["lifecycle"]
    assert len(ours["topologySpreadConstraints"]) == 2
    assert "serve-grpc" in {port["name"] for port in mine["ports"]}


def test_component_sizes_reach_their_own_group_only(compose: Compose, kustomize: Path) -> None:
    numbers = ["spotMax=3", "sharedMax=4", "multihostMax=5", "multihostHosts=6", "multihostGpus=7", "spotCpuLimit=8"]
    groups = groups_of(render(compose(*WORKERS, LAST, numbers=numbers), binary=kustomize))
    plain = groups_of(render(compose(LAST), binary=kustomize))
    assert {name: groups[name] for name in plain} == plain
    assert [groups[name]["maxReplicas"] for name in GROUPS.values()] == [3, 4, 5]
    assert groups["multihost"]["numOfHosts"] == 6
    size = groups["multihost"]["template"]["spec"]["containers"][0]["resources"]
    assert size["limits"]["nvidia.com/gpu"] == size["requests"]["nvidia.com/gpu"] == "7"
    assert groups["spot"]["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"] == "8"


def test_component_of_a_group_whose_name_begins_like_another_keeps_its_numbers(
    compose: Compose, kustomize: Path, kubectl: Path, tmp_path: Path
) -> None:
    """A name in the path of a replacement is a regular expression: sizes.yaml says ^cpu$."""
    template: dict[str, Any] = {
        "metadata": {},
        "spec": {"containers": [{"name": "ray-worker", "resources": {"limits": {"cpu": "9"}}}]},
    }
    template["spec"]["initContainers"] = [{"name": "wait-gcs", "command": [], "resources": {}}]
    group = {"groupName": "cpu-big", "minReplicas": 0, "maxReplicas": 99, "template": template}
    patch = yaml.safe_dump([{"op": "add", "path": "/spec/workerGroupSpecs/-", "value": group}])
    folder = tmp_path / "big"
    folder.mkdir()
    made: dict[str, Any] = {"kind": "Component", "apiVersion": "kustomize.config.k8s.io/v1alpha1"}
    made["patches"] = [{"target": {"kind": "RayCluster"}, "patch": patch}]
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(made))
    for binary in (kustomize, kubectl):
        big = groups_of(render(compose(folder, LAST), binary=binary))["cpu-big"]
        assert big["maxReplicas"] == 99
        assert big["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"] == "9"


def test_component_gpu_shared_names_the_slice_once_and_tells_ray(compose: Compose, kustomize: Path) -> None:
    folder = ROOT / PARTS / "workers-gpu-shared"
    said = [file for file in sorted(folder.rglob("*.yaml")) if "nvidia.com/mig-" in file.read_text()]
    assert [file.name for file in said] == ["slice.pod.yaml"]
    assert said[0].read_text().count("nvidia.com/mig-") == 1
    shared = groups_of(render(compose(folder.relative_to(ROOT), LAST), binary=kustomize))["shared"]
    size = shared["template"]["spec"]["containers"][0]["resources"]
    assert "nvidia.com/gpu" not in size["limits"]
    assert size["limits"] == size["requests"]
    assert shared["rayStartParams"]["num-gpus"] == size["limits"]["nvidia.com/mig-1g.10gb"] == "1"


def test_component_monitoring_scrapes_a_port_that_every_ray_pod_has(compose: Compose, kustomize: Path) -> None:
    objects = render(compose(*WORKERS, f"{PARTS}/monitoring", LAST), binary=kustomize)
    monitor, cluster = one(objects, "PodMonitor")["spec"], one(objects, "RayService")["spec"]["rayClusterConfig"]
    (endpoint,) = monitor["podMetricsEndpoints"]
    pods = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for pod in pods:
        ports = {port["name"] for port in pod["template"]["spec"]["containers"][0]["ports"]}
        assert endpoint["port"] in ports
        labels = {**pod["template"]["metadata"]["labels"], "ray.io/is-ray-node": "yes"}  # the operator adds it
        assert monitor["selector"]["matchLabels"].items() <= labels.items()
    assert {"pipeline", "environment", "ray_io_cluster"} <= {each["targetLabel"] for each in endpoint["relabelings"]}


def alerts(objects: list[Obj]) -> list[tuple[str, dict[str, Any]]]:
    groups = one(objects, "PrometheusRule")["spec"]["groups"]
    return [(group["name"], rule) for group in groups for rule in group["rules"]]


def runbook_of(rule: dict[str, Any]) -> Path:
    return ROOT / RUNBOOKS / str(rule["annotations"]["runbook_url"]).split(f"/{RUNBOOKS}/")[-1]


def test_component_monitoring_alerts_are_the_pipelines_own_and_lead_to_a_runbook(
    compose: Compose, kustomize: Path
) -> None:
    objects = render(compose(f"{PARTS}/monitoring", LAST), binary=kustomize)
    found = alerts(objects)
    assert len({rule["alert"] for _, rule in found}) == len(found) >= 6
    for group, rule in found:
        where = rule["alert"]
        assert runbook_of(rule).is_file(), where
        assert rule["annotations"]["runbook_url"].startswith("https://git.example.com/"), where
        assert rule["labels"]["severity"] in {"critical", "warning"}, where
        assert (rule["labels"]["pipeline"], rule["labels"]["environment"]) == ("rag", "local"), where
        quoted = rule["expr"].split('"')
        assert quoted[1] == "rag", where
        assert group == "operator" or quoted[3] == "local", where


def metrics_of(rule: dict[str, Any]) -> set[str]:
    """Names of metrics in an expression: not those of labels, which stand in brackets or before `=`."""
    text = re.sub(r"\{[^}]*\}|by \([^)]*\)", "", rule["expr"])
    return set(re.findall(r"\b(?:ray|kuberay)_\w+", text))


def test_component_monitoring_asks_for_metrics_that_ray_and_kuberay_have(
    compose: Compose, kustomize: Path, module: Path
) -> None:
    """Ray names them without `ray_` and, for counters, without `_total`; {protocol} stands for http there."""
    package = Path(str(find_spec("ray").origin)).parent  # type: ignore[union-attr]
    python = [package / "dashboard/modules/reporter/reporter_agent.py", *(package / "serve/_private").glob("*.py")]
    ray = "\n".join(file.read_text() for file in python).replace("{protocol_name}", "http")
    kuberay = "\n".join(file.read_text() for file in (module / "controllers/ray/metrics").glob("*.go"))
    names = {
        name
        for _, rule in alerts(render(compose(f"{PARTS}/monitoring", LAST), binary=kustomize))
        for name in metrics_of(rule)
    }
    assert len(names) >= 8
    for name in names:
        bare = name.removeprefix("ray_")
        known = f'"{name}"' in kuberay or any(f'"{one}"' in ray for one in (bare, bare.removesuffix("_total")))
        assert known, f"{name}: neither Ray nor KubeRay has such a metric"


def test_component_priority_names_classes_that_there_are(compose: Compose, kustomize: Path) -> None:
    classes = {
        obj["metadata"]["name"]: obj for obj in render(ROOT / "base/platform/priority-classes", binary=kustomize)
    }
    assert classes["ray-serving"]["value"] > classes["ray-batch"]["value"] >= 0
    assert classes["ray-batch"]["preemptionPolicy"] == "Never"
    for name, last, wanted in (("priority", LAST, "ray-serving"), ("priority-batch", "base/rayjob", "ray-batch")):
        text = yaml.safe_dump(render(compose(*WORKERS, f"{PARTS}/{name}", last), binary=kustomize))
        assert re.findall(r"priorityClassName: (\S+)", text) == [wanted] * 6, "head and five groups"


def test_component_kueue_labels_what_kueue_manages(compose: Compose, kustomize: Path) -> None:
    queue = {"kueue.x-k8s.io/queue-name": "pipelines"}
    service = one(render(compose(f"{PARTS}/kueue", LAST), binary=kustomize), "RayService")
    assert service["metadata"]["labels"] == queue
    job = one(render(compose("base/rayjob", f"{PARTS}/kueue"), binary=kustomize), "RayJob")
    assert job["metadata"]["labels"] == queue
    assert "suspend" not in job["spec"], "each apply would start the job past the queue"


def kueue_faults(objects: list[Obj]) -> list[str]:
    """What Kueue would refuse, or pass over, in the objects of one pipeline whose overlay takes the component."""
    found = []
    for obj in [*of_kind(objects, "RayService"), *of_kind(objects, "RayJob")]:
        cluster = obj["spec"].get("rayClusterConfig") or obj["spec"]["rayClusterSpec"]
        if "kueue.x-k8s.io/queue-name" not in obj["metadata"].get("labels", {}):
            found.append(f"{obj['kind']} has no queue: list kueue after base/rayjob")
        if cluster.get("enableInTreeAutoscaling"):
            found.append(f"{obj['kind']}: Kueue admits no cluster with autoscaling")
        if len(cluster["workerGroupSpecs"]) > 7:
            found.append(f"{obj['kind']}: Kueue counts at most seven worker groups")
    return found


def test_component_kueue_faults_are_seen(compose: Compose, kustomize: Path) -> None:
    kueue, scaling = f"{PARTS}/kueue", f"{PARTS}/autoscaling"
    assert kueue_faults(render(compose(kueue, LAST), binary=kustomize)) == []
    assert "autoscaling" in kueue_faults(render(compose(kueue, scaling, LAST), binary=kustomize))[0]
    assert "no queue" in kueue_faults(render(compose(kueue, "base/rayjob"), binary=kustomize))[0]


def upgrade_faults(service: Obj) -> list[str]:
    """What is wrong with the step by step upgrade of a RayService; nothing where it has none."""
    options = service["spec"]["upgradeStrategy"].get("clusterUpgradeOptions")
    if not options:
        return []
    step, surge = options["stepSizePercent"], options["maxSurgePercent"]
    found = [] if 0 < step <= surge <= 100 and surge % step == 0 else [f"surge {surge} is no multiple of step {step}"]
    scales = service["spec"]["rayClusterConfig"].get("enableInTreeAutoscaling")
    return found + ([] if scales else ["KubeRay refuses it without autoscaling"])


@pytest.mark.parametrize(
    ("numbers", "components", "wrong"),
    [
        ([], ["autoscaling"], ""),
        (["upgradeStepPercent=20"], ["autoscaling"], "surge 50 is no multiple of step 20"),
        (["upgradeSurgePercent=20"], ["autoscaling"], "surge 20 is no multiple of step 25"),
        (["upgradeStepPercent=0"], ["autoscaling"], "surge 50 is no multiple of step 0"),
        ([], [], "without autoscaling"),
    ],
)
def test_component_incremental_upgrade_has_numbers_that_fit(
    numbers: list[str], components: list[str], wrong: str, compose: Compose, kustomize: Path
) -> None:
    parts = [f"{PARTS}/{name}" for name in (*components, "incremental-upgrade")]
    service = one(render(compose(*parts, LAST, numbers=numbers), binary=kustomize), "RayService")
    assert service["spec"]["upgradeStrategy"]["clusterUpgradeOptions"]["gatewayClassName"] == "traefik"
    found = upgrade_faults(service)
    assert (wrong in found[0]) if wrong else not found


def test_component_incremental_upgrade_fits_in_every_overlay(pipeline: Path, rendered: Rendered) -> None:
    assert upgrade_faults(one(rendered(pipeline), "RayService")) == []


def test_component_kueue_fits_in_every_overlay(pipeline: Path, rendered: Rendered) -> None:
    text = (ROOT / pipeline / "kustomization.yaml").read_text()
    assert "components/kueue" not in text or kueue_faults(rendered(pipeline)) == []


def test_component_model_cache_is_read_only_for_ray_and_restricted_for_the_job(
    compose: Compose, kustomize: Path
) -> None:
    objects = render(compose(*WORKERS, f"{PARTS}/model-cache", LAST), binary=kustomize)
    cluster = one(objects, "RayService")["spec"]["rayClusterConfig"]
    for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
        spec = group["template"]["spec"]
        assert {"name": "model-cache", "mountPath": "/srv/model-cache", "readOnly": True} in spec["containers"][0][
            "volumeMounts"
        ]
        claim = {"claimName": "model-cache", "readOnly": True}
        assert {"name": "model-cache", "persistentVolumeClaim": claim} in spec["volumes"]
    job = one(objects, "Job")["spec"]["template"]["spec"]
    (container,) = job["containers"]
    assert container["command"][-2:] == ["--into", "/srv/model-cache"]
    assert container["image"] == "pipeline"
    assert job["securityContext"]["runAsNonRoot"] is True
    assert job["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert images([one(objects, "RayService")])
    assert one(objects, "PersistentVolumeClaim")["spec"]["resources"]["requests"]["storage"] == "50Gi"


def test_component_model_cache_hands_the_list_over_and_the_program_takes_it(compose: Compose, kustomize: Path) -> None:
    from apps.common import model_cache

    job = one(render(compose(f"{PARTS}/model-cache", LAST), binary=kustomize), "Job")["spec"]
    container = job["template"]["spec"]["containers"][0]
    (variable,) = container["env"]
    assert variable["name"] == model_cache.VARIABLE
    assert variable["value"] == (ROOT / PARTS / "model-cache/models.example.txt").read_text()
    assert [str(model.path) for model in model_cache.read_list(variable["value"])] == ["tiny/config.json"]
    assert container["command"][:3] == ["python", "-m", model_cache.__name__]
    fails = job["podFailurePolicy"]["rules"][0]
    assert (fails["action"], fails["onExitCodes"]["values"]) == ("FailJob", [model_cache.WRONG])
    assert fails["onExitCodes"]["containerName"] == container["name"]


def test_component_model_cache_without_a_list_fails_the_build(compose: Compose, kustomize: Path) -> None:
    folder = compose(f"{PARTS}/model-cache", LAST)
    overlay = yaml.safe_load((folder / "kustomization.yaml").read_text())
    overlay["configMapGenerator"] = [each for each in overlay["configMapGenerator"] if each["name"] != "models"]
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    with pytest.raises(RayopsError, match="models"):
        render(folder, binary=kustomize)
