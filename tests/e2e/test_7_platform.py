"""What surrounds the pipelines, asked of the real API server: rights, dry-runs of every overlay, the served schemas."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import yaml

from rayops import proc
from rayops.kube import Kube, Obj, Timeout, dig, eventually
from rayops.kube.objects import NAMESPACE, Kind, name_of
from rayops.paths import ROOT
from rayops.render import of_kind, render
from rayops.render.crds import crds, crds_of
from tests.harness import Cluster
from tests.harness.access import Subject, client_as, may
from tests.harness.roles import GROUPS, MAY, MUST_NOT
from tests.render.schemas import crd_schemas

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]
CRD = Kind("apiextensions.k8s.io/v1", "CustomResourceDefinition")
CLUSTER_ROLE = Kind("rbac.authorization.k8s.io/v1", "ClusterRole")
ALL = sorted(file.parent.relative_to(ROOT) for file in (ROOT / "overlays").rglob("kustomization.yaml"))
OVERLAYS = [
    overlay
    for overlay in ALL
    if yaml.safe_load((ROOT / overlay / "kustomization.yaml").read_text())["kind"] != "Component"
]


# Rights ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bound(
    kube: Kube, new_namespace: Callable[[str], AbstractContextManager[str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """A namespace with the bindings of a pipeline of its name, and another team's namespace with theirs."""
    roles = render(ROOT / "base/platform/cluster-roles")
    ours = [role for role in roles if not kube.find(CLUSTER_ROLE, name_of(role))]
    kube.apply(roles)
    with new_namespace("rights") as namespace, new_namespace("others") as others:
        for name in (namespace, others):
            kube.apply(bindings(name, tmp_path_factory.mktemp(name)))
        yield namespace, others
    for role in ours:
        kube.delete(CLUSTER_ROLE, name_of(role))


def bindings(pipeline: str, folder: Path) -> list[Obj]:
    """The component's RoleBindings, for a pipeline of this name in a namespace of this name."""
    literals = {"name": "sizing", "literals": [f"pipeline={pipeline}"], "options": {"disableNameSuffixHash": True}}
    component = os.path.relpath(ROOT / "base/platform/rbac", folder.resolve())
    kustomization = {"components": [component], "namespace": pipeline, "configMapGenerator": [literals]}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return of_kind(render(folder), "RoleBinding")


@pytest.mark.parametrize("role", MAY)
def test_a_role_may_what_it_is_for_in_its_namespace_and_nothing_elsewhere(
    role: str, kube: Kube, bound: tuple[str, str], record: Callable[..., None]
) -> None:
    namespace, others = bound
    api = client_as(kube, Subject("jane", GROUPS[role].format(pipeline=namespace)))
    assert not [str(action) for action in MAY[role] if not may(api, namespace, action)], "not allowed, but needed"
    assert not [str(action) for action in MUST_NOT[role] if may(api, namespace, action)], "allowed, but must not be"
    everything = [*MAY[role], *MUST_NOT[role]]
    if role == "ray-app-team":  # the other two are bound in every pipeline's namespace
        assert not [str(action) for action in everything if may(api, others, action)], "in another team's namespace"
    assert not [str(action) for action in everything if may(api, "kuberay-system", action)], "beside the operator"
    assert not [str(action) for action in everything if may(api, None, action)], "in the whole cluster"
    record(allowed=len(MAY[role]), denied=len(MUST_NOT[role]))


def test_a_stranger_may_nothing(kube: Kube, bound: tuple[str, str]) -> None:
    api = client_as(kube, Subject("mallory", "marketing"))
    actions = {*MAY["ray-platform"], *MUST_NOT["ray-app-team"]}
    assert not [str(action) for action in actions if may(api, bound[0], action)]


def test_the_app_team_really_cannot_what_the_review_denies(kube: Kube, bound: tuple[str, str]) -> None:
    """The review's word against deeds: a secret, a binding to more than one has, a shell, a neighbour's RayService."""
    from kubernetes import client

    namespace, others = bound
    api = client_as(kube, Subject("jane", f"{namespace}-team"))
    core, rbac = client.CoreV1Api(api), client.RbacAuthorizationV1Api(api)
    custom = client.CustomObjectsApi(api)
    admin = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    binding = {"metadata": {"name": "more"}, "roleRef": admin, "subjects": []}
    forbidden: list[Callable[[], object]] = [
        lambda: core.list_namespaced_secret(namespace),
        lambda: rbac.create_namespaced_role_binding(namespace, binding),
        lambda: core.connect_get_namespaced_pod_exec("head", namespace, command=["id"]),
        lambda: custom.list_namespaced_custom_object("ray.io", "v1", others, "rayservices"),
    ]
    for attempt in forbidden:
        with pytest.raises(client.ApiException) as caught:
            attempt()
        assert caught.value.status == 403, caught.value
    assert custom.list_namespaced_custom_object("ray.io", "v1", namespace, "rayservices")["items"] == []


# Every overlay ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kubectl(cluster: Cluster, kube: Kube, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """kubectl of PATH, else the one of the node; both bring a Kustomize of their own."""
    if found := proc.find("kubectl"):
        return found
    if not cluster.ours:
        pytest.skip("no kubectl on PATH, and no node of ours to take one from")
    from tests.harness.kind import OwnCluster

    assert isinstance(cluster, OwnCluster)
    copy = tmp_path_factory.mktemp("bin") / "kubectl"
    proc.run(["docker", "cp", f"{cluster.kind.nodes()[0]}:/usr/bin/kubectl", str(copy)])
    return copy


@pytest.fixture(scope="module")
def dry_run(kube: Kube, kubectl: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., "Done"]]:
    """`kubectl apply --dry-run=server` with the CRDs of all that is rendered, and its namespaces, in the cluster.

    A dry-run makes no namespace, so what is in one could not be checked. What was not there before is deleted again.
    """
    objects = [obj for overlay in OVERLAYS for obj in render(ROOT / overlay)]
    wanted = {dig(obj, "metadata", "namespace", default="default") for obj in objects}
    spaces = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in sorted(wanted)]
    missing = [space for space in spaces if not kube.find(NAMESPACE, name_of(space))]
    foreign = [crd for crd in crds_of(objects) if not kube.find(CRD, name_of(crd))]
    try:
        kube.apply([*foreign, *missing])
        for crd in foreign:
            eventually(
                lambda crd=crd: kube.get(CRD, name_of(crd)),  # type: ignore[misc]
                established,
                bool,
                Timeout.SHORT,
                f"{name_of(crd)} is served",
            )
        yield _kubectl(kube, kubectl, tmp_path_factory.mktemp("kubectl"))
    finally:
        for space in missing:
            kube.delete(NAMESPACE, name_of(space))
        for crd in foreign:
            kube.delete(CRD, name_of(crd))
        for space in missing:
            kube.wait_gone(NAMESPACE, name_of(space))


Done = subprocess.CompletedProcess[str]


def _kubectl(kube: Kube, program: Path, folder: Path) -> Callable[..., Done]:
    file = folder / "kubeconfig"
    file.write_text(yaml.safe_dump(kubeconfig(kube)))
    file.chmod(0o600)
    base = [str(program), "--kubeconfig", str(file), "--cache-dir", str(folder / "cache")]

    def run(*arguments: str | Path) -> Done:
        command = [*base, "apply", "--dry-run=server", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)

    return run


def kubeconfig(kube: Kube) -> Obj:
    """A kubeconfig of the connection that the tests have, whichever cluster that is."""
    have = kube.configuration
    user = {"client-certificate": have.cert_file, "client-key": have.key_file}
    if token := have.get_api_key_with_prefix("authorization"):
        user = {"token": token.removeprefix("Bearer ")}
    server = {"server": have.host, "certificate-authority": have.ssl_ca_cert}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "it", "cluster": server}],
        "users": [{"name": "it", "user": user}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "current-context": "it",
    }


def established(crd: Obj) -> bool:
    """Whether the API server serves the kind by now."""
    return any(c["type"] == "Established" and c["status"] == "True" for c in dig(crd, "status", "conditions") or [])


@pytest.mark.parametrize("overlay", OVERLAYS, ids=str)
def test_the_api_server_accepts_the_overlay(overlay: Path, dry_run: Callable[..., Done]) -> None:
    expected = len(render(ROOT / overlay))
    done = dry_run("-k", overlay)
    if not expected:  # settings that other kustomizations read
        assert "no objects passed to apply" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    accepted = [line for line in done.stdout.splitlines() if line.endswith("(server dry run)")]
    assert len(accepted) == expected, done.stdout


def test_the_dry_run_refuses_what_is_wrong(dry_run: Callable[..., Done], tmp_path: Path) -> None:
    """Accepted means checked: a field of the wrong type, and a kind that nobody serves, are named."""
    (service,) = of_kind(render(ROOT / "overlays/local/hello"), "RayService")
    service["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]["maxReplicas"] = "many"
    file = tmp_path / "service.yaml"
    file.write_text(yaml.safe_dump(service))
    done = dry_run("-f", file)
    assert done.returncode != 0
    assert "maxReplicas" in done.stderr
    file.write_text(yaml.safe_dump({**service, "kind": "RayServce"}))
    done = dry_run("-f", file)
    assert done.returncode != 0
    assert "RayServce" in done.stderr


# The CRDs --------------------------------------------------------------------------------------------------------


def test_the_server_serves_the_schemas_that_the_renders_are_checked_by(kube: Kube) -> None:
    pinned = crds("ray.io")
    live = [kube.get(CRD, name_of(crd)) for crd in pinned]
    assert crd_schemas(live) == crd_schemas(pinned)
    assert {name for crd in live for name in crd["status"]["storedVersions"]} == {"v1"}
