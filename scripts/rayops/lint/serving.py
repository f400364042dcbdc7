"""Safety family: services that never become ready, or answer nobody, although every object is accepted."""

from collections.abc import Iterator

from rayops.lint.context import Context
from rayops.lint.model import Finding, Rule
from rayops.lint.rules import check
from rayops.lint.view import Ray

SERVE_PORT = 8000
LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")

PROXY_HEAD_ONLY = Rule(
    "proxy-head-only",
    "safety",
    "error",
    "workers have no proxy, and KubeRay's readiness probe asks theirs: they are NotReady for ever (kuberay#4994)",
    "remove proxy_location (EveryNode is the default), or give the workers a readinessProbe of their own",
    "base/observability/runbooks/rayservice-not-ready.md",
)
PORT_MISSING = Rule(
    "serve-port-missing",
    "safety",
    "error",
    "the head lists ports and none is named serve: KubeRay cannot build the serve Service and reconciles no further",
    "add {name: serve, containerPort: 8000} to the head's container (or a name that starts with serve-)",
    "base/observability/runbooks/rayservice-not-ready.md",
)
PORT_DIFFERS = Rule(
    "serve-port-differs",
    "safety",
    "error",
    "Serve listens on another port than the one that is named serve: probes and Service ask where nobody is",
    "make http_options.port of the Serve config and the container port named serve the same",
    "base/observability/runbooks/rayservice-not-ready.md",
)
HOST_LOCAL = Rule(
    "serve-host-local",
    "safety",
    "error",
    "Serve's proxies listen inside their pod only: the Service reaches none of them",
    "remove http_options.host, or set it to 0.0.0.0",
    "https://docs.ray.io/en/latest/serve/production-guide/config.html",
)
IDLE_WORKERS = Rule(
    "workers-without-replicas",
    "safety",
    "warning",
    "a worker without a replica has no proxy: its readiness probe fails, and it never becomes Ready",
    "at least one replica for each worker of minReplicas (max_replicas_per_node: 1), or fewer workers",
    "base/observability/runbooks/rayservice-not-ready.md",
)


@check(PROXY_HEAD_ONLY)
def proxies(context: Context) -> Iterator[Finding]:
    """Serve configs that put no proxy on workers, whose readiness asks for one."""
    for ray in context.services:
        where = ray.serve.get("proxy_location")
        probed = [group for group in ray.workers if not group.ray.obj.get("readinessProbe")]
        if where in ("HeadOnly", "Disabled") and probed:
            said = f"{where}: group {probed[0].name} would never be Ready"
            yield context.finding(PROXY_HEAD_ONLY, ray.resource, (*ray.serve_path, "proxy_location"), said)


@check(PORT_MISSING, PORT_DIFFERS)
def ports(context: Context) -> Iterator[Finding]:
    """The port named serve: there as soon as any is listed (service.go, BuildServeService), and Serve's own."""
    for ray in context.services:
        listed = ray.head.ray.obj.get("ports") or []
        names = [str(port.get("name", "")) for port in listed]
        place = (*ray.head.ray.path, "ports")
        if listed and not any(name == "serve" or name.startswith("serve-") for name in names):
            yield context.finding(PORT_MISSING, ray.resource, place, f"the head lists {', '.join(names)}")
        wanted = _serve_port(ray)
        for group in ray.groups:
            for port in group.ray.obj.get("ports") or []:
                if ray.serve and port.get("name") == "serve" and port.get("containerPort") != wanted:
                    said = f"{group.name} names {port.get('containerPort')} serve, Serve listens on {wanted}"
                    path = (*group.ray.path, "ports", "[serve]")
                    yield context.finding(PORT_DIFFERS, ray.resource, path, said)


def _serve_port(ray: Ray) -> int:
    return int((ray.serve.get("http_options") or {}).get("port", SERVE_PORT))


@check(HOST_LOCAL)
def hosts(context: Context) -> Iterator[Finding]:
    """Proxies that listen to their own pod only."""
    for ray in context.services:
        host = (ray.serve.get("http_options") or {}).get("host")
        if host in LOCAL_HOSTS:
            path = (*ray.serve_path, "http_options", "host")
            yield context.finding(HOST_LOCAL, ray.resource, path, f"Serve listens on {host}")


@check(IDLE_WORKERS)
def idle_workers(context: Context) -> Iterator[Finding]:
    """More workers at rest than there are replicas at rest; not told where the code decides on replicas."""
    for ray in context.services:
        counts = [deployment.replicas for deployment in ray.deployments]
        probed = [group for group in ray.workers if not group.ray.obj.get("readinessProbe")]
        workers = sum(int(each.obj.get("minReplicas") or 0) * int(each.obj.get("numOfHosts") or 1) for each in probed)
        parts = [len(each.obj.get("placement_group_bundles") or [1]) for each in ray.deployments]
        listed = all(application.get("deployments") for application, _ in ray.applications)
        if not counts or not listed or any(count is None for count in counts):
            continue
        replicas = sum(count[0] * part for count, part in zip(counts, parts, strict=True) if count)
        if workers > replicas:
            said = f"at least {workers} workers for {replicas} replicas at rest"
            yield context.finding(IDLE_WORKERS, ray.resource, (*ray.cluster_path, "workerGroupSpecs"), said)
