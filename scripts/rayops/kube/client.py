"""A thin, typed face on the official Kubernetes client: objects are dictionaries, errors are one line.

The client is slow to import, so it is imported when a connection is made and not before.
"""

import atexit
import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlsplit

from rayops.errors import RayopsError
from rayops.kube import objects as o
from rayops.kube.errors import KubeError, NotFoundError, RemoteClusterError
from rayops.kube.objects import Kind, Obj, Objs
from rayops.kube.pods import ExecResult, exec_in_pod
from rayops.kube.wait import Timeout, eventually, itself

FIELD_MANAGER = "rayops"
GPU_RESOURCE = "nvidia.com/gpu"
GPU_LABEL = "nvidia.com/gpu.present"
REQUEST_TIMEOUT_S = 30.0

_APPLY_FIRST = (
    "Namespace",
    "CustomResourceDefinition",
    "PriorityClass",
    "ResourceQuota",
    "LimitRange",
    "NetworkPolicy",
    "ServiceAccount",
    "ClusterRole",
    "Role",
    "ClusterRoleBinding",
    "RoleBinding",
    "Secret",
    "ConfigMap",
    "Service",
)


def server_is_local(server: str, context: str) -> bool:
    """Whether an API server address is on this machine: loopback, or the node container of kind's own context."""
    host = urlsplit(server).hostname or ""
    if host == "localhost" or (
        context.startswith("kind-") and host == f"{context.removeprefix('kind-')}-control-plane"
    ):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def in_apply_order(objects: Iterable[Obj]) -> Objs:
    """The same objects, those first that others need: namespaces, CRDs, policies, identities, configuration."""
    rank = {kind: position for position, kind in enumerate(_APPLY_FIRST)}
    return sorted(objects, key=lambda obj: rank.get(obj["kind"], len(rank)))


class Kube:
    """One connection to one cluster."""

    def __init__(self, api: Any, context: str) -> None:
        from kubernetes.dynamic import DynamicClient

        self.context = context
        self.server: str = api.configuration.host
        self._api = api
        # A cache of our own: the client's default one is shared by all clusters that ever had this address.
        cache = tempfile.mkdtemp(prefix="rayops-kube-")
        atexit.register(shutil.rmtree, cache, ignore_errors=True)
        with _translated(self.server):
            self._dynamic = DynamicClient(api, cache_file=str(Path(cache) / "discovery.json"))

    @classmethod
    def connect(cls, kubeconfig: Path, context: str | None = None, *, i_know: bool = False) -> Self:
        """Connect by a kubeconfig file; a cluster that is not local is refused unless `i_know`.

        Raises RemoteClusterError, KubeError when the server does not answer, RayopsError for an unusable file.
        """
        from kubernetes import client, config

        if not kubeconfig.is_file():
            raise RayopsError(f"no kubeconfig at {kubeconfig}", hint="./scripts/up makes a cluster")
        settings = client.Configuration()
        try:
            _, current = config.list_kube_config_contexts(str(kubeconfig))
            config.load_kube_config(str(kubeconfig), context, client_configuration=settings, persist_config=False)
        except config.ConfigException as error:
            raise RayopsError(f"{kubeconfig} cannot be used: {o.first_line(error)}") from error
        chosen = context or str(current["name"])
        if server_is_local(settings.host, chosen):
            settings.proxy = None
        elif not i_know:
            raise RemoteClusterError(
                f"context {chosen} is not a cluster on this machine ({settings.host})",
                hint="pass --i-know if this cluster may be changed",
            )
        return cls(client.ApiClient(settings), chosen)

    def is_local(self) -> bool:
        """Whether the API server is on this machine."""
        return server_is_local(self.server, self.context)

    def version(self) -> str:
        """The Kubernetes version, for example v1.34.4."""
        return str(self.json("GET", "/version")["gitVersion"])

    # Objects -------------------------------------------------------------------------------------------------

    def apply(self, objects: Iterable[Obj], *, namespace: str | None = None) -> Objs:
        """Server-side apply, with force, in the order in which objects need each other; the objects as stored.

        namespace: for namespaced objects that name none.
        """
        return [self._apply_one(obj, namespace) for obj in in_apply_order(objects)]

    def _apply_one(self, obj: Obj, namespace: str | None) -> Obj:
        path = self._path(o.kind_of(obj), o.name_of(obj), o.dig(obj, "metadata", "namespace", default=namespace))
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return self._object("PATCH", path, body=obj, content_type="application/apply-patch+yaml", query=query)

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Obj:
        """One object; NotFoundError when it is not there."""
        return self._object("GET", self._path(kind, name, namespace))

    def find(self, kind: Kind, name: str, namespace: str | None = None) -> Obj | None:
        """One object, or None when it, or its kind, is not there."""
        try:
            return self.get(kind, name, namespace)
        except NotFoundError:
            return None

    def list(
        self, kind: Kind, namespace: str | None = None, *, labels: Mapping[str, str] | None = None, fields: str = ""
    ) -> Objs:
        """All objects of a kind, in one namespace or in all; by labels and by a field selector."""
        query = {"labelSelector": ",".join(f"{k}={v}" for k, v in (labels or {}).items()), "fieldSelector": fields}
        answer = self.json("GET", self._path(kind, None, namespace), query=query)
        return [{"apiVersion": kind.api_version, "kind": kind.name, **item} for item in answer.get("items") or []]

    def patch(self, kind: Kind, name: str, namespace: str | None, body: Obj, *, subresource: str = "") -> Obj:
        """JSON merge patch of an object, or of its subresource (`status`); the object as stored."""
        path = self._path(kind, name, namespace) + (f"/{subresource}" if subresource else "")
        return self._object("PATCH", path, body=body, content_type="application/merge-patch+json")

    def create(self, obj: Obj, *, namespace: str | None = None) -> Obj:
        """Create an object; a KubeError of status 409 when it exists, 403 when admission refuses it."""
        path = self._path(o.kind_of(obj), None, o.dig(obj, "metadata", "namespace", default=namespace))
        return self._object("POST", path, body=obj)

    def delete(self, kind: Kind, name: str, namespace: str | None = None, *, grace_s: int | None = None) -> bool:
        """Ask for the deletion of an object and of what it owns; False when it was not there. grace_s 0: at once."""
        options: Obj = {"propagationPolicy": "Background"}
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        try:
            self.request("DELETE", self._path(kind, name, namespace), body=options)
        except NotFoundError:
            return False
        return True

    def wait_gone(
        self, kind: Kind, name: str, namespace: str | None = None, *, timeout: Timeout = Timeout.SHORT
    ) -> None:
        """Wait until an object is not there any more."""
        eventually(
            lambda: self.find(kind, name, namespace),
            itself,
            lambda obj: obj is None,
            timeout,
            f"{kind.name} {name} gone",
        )

    # Pods, events, nodes -------------------------------------------------------------------------------------

    def exec(
        self, namespace: str, pod: str, argv: Sequence[str], *, container: str | None = None, timeout_s: float = 60.0
    ) -> ExecResult:
        """Run a command in a container (the pod's first) and wait for it; exit code, standard output and error."""
        chosen = container or str(self.get(o.POD, pod, namespace)["spec"]["containers"][0]["name"])
        with _translated(self.server):
            return exec_in_pod(self._api.configuration, namespace, pod, argv, container=chosen, timeout_s=timeout_s)

    def logs(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        previous: bool = False,
        limit_bytes: int = 1_000_000,
        since: str = "",
    ) -> str:
        """The log of a container (of its last life when previous), its last `limit_bytes` bytes by lines.

        since: a time as RFC 3339 has it; only what was written from then on.
        """
        query = {"container": container, "previous": str(previous).lower(), "tailLines": "20000"}
        query |= {"sinceTime": since} if since else {}
        path = self._path(o.POD, pod, namespace) + "/log"
        return self.request("GET", path, query=query)[-limit_bytes:].decode(errors="replace")

    def events(self, namespace: str, *, about: str = "") -> Objs:
        """The events of a namespace, oldest first; about: only those of the object of that name."""
        found = self.list(o.EVENT, namespace, fields=f"involvedObject.name={about}" if about else "")
        return sorted(found, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))

    def proxy_json(self, namespace: str, pod: str, port: int, path: str) -> Any:
        """GET a path of a pod's HTTP port through the API server; the JSON answer."""
        return self.json("GET", f"{self._path(o.POD, pod, namespace)}:{port}/proxy/{path.lstrip('/')}")

    def advertise_gpus(self, node: str, count: int) -> None:
        """Let a node advertise `count` GPUs, or none for 0: the scheduler then counts them as it counts real ones."""
        value = str(count) if count else None
        self.patch(o.NODE, node, None, {"metadata": {"labels": {GPU_LABEL: "true" if count else None}}})
        resources = {"capacity": {GPU_RESOURCE: value}, "allocatable": {GPU_RESOURCE: value}}
        self.patch(o.NODE, node, None, {"status": resources}, subresource="status")

    # The wire ------------------------------------------------------------------------------------------------

    @property
    def configuration(self) -> Any:
        """The client's own configuration object, for what needs a connection of its own (exec, port forward)."""
        return self._api.configuration

    def json(self, method: str, path: str, **how: Any) -> Any:
        """`request`, with the answer parsed as JSON."""
        return json.loads(self.request(method, path, **how))

    def _object(self, method: str, path: str, **how: Any) -> Obj:
        answer: Obj = self.json(method, path, **how)
        return answer

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Obj | None = None,
        content_type: str | None = None,
        query: Mapping[str, str] | None = None,
    ) -> bytes:
        """One call of the API server. Raises NotFoundError or KubeError."""
        pairs = [(key, value) for key, value in (query or {}).items() if value]
        with _translated(self.server):
            answer = self._dynamic.request(
                method, path, body, content_type=content_type, query_params=pairs, serialize=False,
                _request_timeout=REQUEST_TIMEOUT_S,
            )  # fmt: skip
            return bytes(answer.data)

    def _path(self, kind: Kind, name: str | None, namespace: str | None) -> str:
        with _translated(self.server):
            found = self._dynamic.resources.get(api_version=kind.api_version, kind=kind.name)
        return str(found.path(name=quote(name) if name else None, namespace=namespace))


class _translated:  # noqa: N801 - reads as a word in `with _translated(...)`
    """Turns the exceptions of the client library into ours."""

    def __init__(self, server: str) -> None:
        self.server = server

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, RayopsError):
            return
        from kubernetes.client import ApiException
        from kubernetes.dynamic.exceptions import ResourceNotFoundError
        from urllib3.exceptions import HTTPError

        if isinstance(error, ApiException):
            status = int(error.status or 0)
            wrong = NotFoundError if status == 404 else KubeError
            raise wrong(_reason(error), status=status) from error
        if isinstance(error, ResourceNotFoundError):
            raise NotFoundError(f"the cluster does not know this kind: {o.first_line(error)}", status=404) from error
        if isinstance(error, HTTPError | OSError):
            hint = "./scripts/up makes a local cluster" if server_is_local(self.server, "") else None
            raise KubeError(f"{self.server} does not answer: {o.first_line(error, 160)}", hint=hint) from error


def _reason(error: Any) -> str:
    """The API server's own message, or the HTTP reason where it sent none."""
    body = error.body.decode(errors="replace") if isinstance(error.body, bytes) else str(error.body or "")
    try:
        message = json.loads(body).get("message")
    except (ValueError, AttributeError):
        message = body
    return o.first_line(message) or f"HTTP {error.status} {error.reason}"
