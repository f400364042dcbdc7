"""Fit family: numbers of a deployment that do not go together, and switches of Serve that all pods must share."""

from collections.abc import Iterator, Mapping
from typing import Any

from rayops.lint.context import Context
from rayops.lint.model import Finding, Rule
from rayops.lint.rules import check
from rayops.lint.view import Deployment, Group, Ray

# Names under which repositories hand the parameters of @serve.batch to a deployment, and deadlines of a request.
SIZES = ("max_batch_size", "batch_size", "batch_max_size", "max_batch")
AT_ONCE = ("max_concurrent_batches", "concurrent_batches", "batches_in_flight")
WAITS = ("batch_wait_timeout_s", "max_batch_wait_s", "batch_wait_s", "batch_timeout_s")
DEADLINES = ("request_timeout_s", "default_timeout_s", "deadline_s", "request_deadline_s")
# Read when Serve's modules are imported, in every process by itself (ray/serve/_private/constants.py).
SWITCHES = (
    "RAY_SERVE_ENABLE_HA_PROXY",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED",
    "RAY_SERVE_ENABLE_DIRECT_INGRESS",
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD",
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP",
)
_TUNED = "base/decisions/0005-tuned-serve-environment.md"
DEFAULT_ONGOING = 5  # ray.serve.schema, DeploymentSchema.max_ongoing_requests

BATCH = Rule(
    "batch-never-full",
    "fit",
    "warning",
    "max_ongoing_requests lets fewer requests into a replica than its batches hold: each waits in vain to be filled",
    "max_ongoing_requests of at least max_batch_size x max_concurrent_batches, or smaller batches",
    "https://docs.ray.io/en/latest/serve/advanced-guides/dyn-req-batch.html",
)
WAIT = Rule(
    "batch-wait-beyond-deadline",
    "fit",
    "error",
    "a batch waits as long as a request may take, or longer: one that comes alone always times out",
    "a batch wait of a small part of the deadline",
    "base/observability/runbooks/requests-time-out-504.md",
)
SWITCH = Rule(
    "serve-switch-differs",
    "fit",
    "error",
    "a switch of Serve's fast path is not the same on head and workers: controller, proxies and replicas disagree",
    "set it to the same value in the first container of the head and of every group",
    _TUNED,
)
HALF = Rule(
    "throughput-without-haproxy",
    "fit",
    "error",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED alone turns direct ingress on: nothing listens on the workers' port 8000",
    "set RAY_SERVE_ENABLE_HA_PROXY=1 as well, or RAY_SERVE_ENABLE_DIRECT_INGRESS=0",
    _TUNED,
)


@check(BATCH, WAIT)
def batches(context: Context) -> Iterator[Finding]:
    """Batches of a deployment against what it lets in and how long a request may take."""
    for ray in context.services:
        for deployment in ray.deployments:
            yield from _size(context, ray, deployment)
            yield from _wait(context, ray, deployment)


def _size(context: Context, ray: Ray, deployment: Deployment) -> Iterator[Finding]:
    given = deployment.obj.get("user_config")
    size, at_once = _number(given, SIZES), _number(given, AT_ONCE) or 1
    let_in = deployment.obj.get("max_ongoing_requests")
    ongoing = let_in if isinstance(let_in, int) else DEFAULT_ONGOING
    if size and ongoing < size * at_once:
        text = f"{deployment.name}: max_ongoing_requests {ongoing}, batches hold {size:g} x {at_once:g}"
        yield context.finding(BATCH, ray.resource, (*deployment.path, "max_ongoing_requests"), text)


def _wait(context: Context, ray: Ray, deployment: Deployment) -> Iterator[Finding]:
    given = deployment.obj.get("user_config")
    wait, deadline = _seconds(given, WAITS), _deadline(ray, deployment)
    if wait is not None and deadline and wait >= deadline:
        text = f"{deployment.name}: a batch waits {wait:g} s, a request may take {deadline:g} s"
        yield context.finding(WAIT, ray.resource, (*deployment.path, "user_config"), text)


def _deadline(ray: Ray, deployment: Deployment) -> float:
    """The shortest: of the deployment, of its application's args, of Serve's HTTP and gRPC; 0 where there is none."""
    args = [app.get("args") for app, _ in ray.applications if app.get("name", "default") == deployment.application]
    listed = [deployment.obj.get("user_config"), *args, ray.serve.get("http_options"), ray.serve.get("grpc_options")]
    return min(filter(None, (_seconds(each, DEADLINES) for each in listed)), default=0.0)


def _seconds(given: Any, names: tuple[str, ...]) -> float | None:
    """A duration by name, in seconds, or in milliseconds where the name ends so."""
    found = _number(given, names)
    if found is not None:
        return found
    milli = _number(given, tuple(f"{name.removesuffix('_s')}_ms" for name in names))
    return None if milli is None else milli / 1000


def _number(given: Any, names: tuple[str, ...]) -> float | None:
    """The smallest number with one of these names, at most one mapping down."""
    if not isinstance(given, Mapping):
        return None
    inner = [each for each in given.values() if isinstance(each, Mapping)]
    values = [part.get(name) for part in (given, *inner) for name in names]
    return min((float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool)), default=None)


@check(SWITCH, HALF)
def switches(context: Context) -> Iterator[Finding]:
    """Serve's switches in the environment of every pod."""
    for ray in context.services:
        for group in ray.workers:
            for name in SWITCHES:
                here, there = _switch(ray.head, name), _switch(group, name)
                if here is not None and there is not None and here != there:
                    text = f"{name} is {here or 'not set'} on the head, {there or 'not set'} in group {group.name}"
                    yield context.finding(SWITCH, ray.resource, (*group.ray.path, "env"), text)
        tuned, proxy, direct = (_switch(ray.head, name) for name in _HALVES)
        if _on(tuned) and proxy in ("", "0") and direct != "0":
            text = "RAY_SERVE_THROUGHPUT_OPTIMIZED without RAY_SERVE_ENABLE_HA_PROXY"
            yield context.finding(HALF, ray.resource, (*ray.head.ray.path, "env"), text)


_HALVES = ("RAY_SERVE_THROUGHPUT_OPTIMIZED", "RAY_SERVE_ENABLE_HA_PROXY", "RAY_SERVE_ENABLE_DIRECT_INGRESS")


def _on(value: str | None) -> bool:
    return value is not None and value.lower() in ("1", "true")


def _switch(group: Group, name: str) -> str | None:
    """The value; "" where it is not set; None where a ConfigMap or a Secret decides."""
    entry = group.ray.env.get(name)
    if entry is None:
        return None if group.ray.obj.get("envFrom") else ""
    return None if "valueFrom" in entry else str(entry.get("value", ""))
