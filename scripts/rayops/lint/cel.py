"""CEL for base/policies: how to go through containers, and KubeRay's own validation in it."""

import textwrap

WIDTH = 158
_CONTAINERS = (
    "variables.pods.all(p, p.containers.all(c, {0}) && (!has(p.initContainers) || p.initContainers.all(c, {0})))"
)


def each_container(test: str) -> str:
    """The test of a container `c`, of all containers and init containers."""
    return _CONTAINERS.format(test)


def each_environment(test: str) -> str:
    """The test of an environment entry `e`, of all containers and of the autoscaler."""
    inner = each_container(f"!has(c.env) || c.env.all(e, {test})")
    return f"{inner} && (!has(variables.autoscaler.env) || variables.autoscaler.env.all(e, {test}))"


def lines(text: str, indent: int) -> list[str]:
    """The lines of a folded block of YAML. No word is ever broken: patterns have no blanks."""
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=" " * indent,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


_GROUPS = "(variables.heads + variables.workers)"
_HEAD = "h.template.spec.containers[0]"
_OURS = "variables.heads.all(h, {})"
_START = (
    "variables.heads.all(h, !has(h.rayStartParams) || !({0!r} in h.rayStartParams) || h.rayStartParams[{0!r}] == '')"
)
_ENV = f"variables.heads.all(h, !has({_HEAD}.env) || !{_HEAD}.env.exists(e, e.name == {{0!r}}))"
_NOTES = (
    "(has(object.metadata.annotations) && {0!r} in object.metadata.annotations"
    " && object.metadata.annotations[{0!r}] != '')"
)
_V2 = "(variables.autoscales && has(variables.autoscaler.version) && variables.autoscaler.version == 'v2')"
_TOKENS = (
    "(has(variables.cluster.authOptions) && has(variables.cluster.authOptions.mode)"
    " && variables.cluster.authOptions.mode == 'token')"
)
_K8S = (
    "(has(variables.cluster.authOptions) && has(variables.cluster.authOptions.enableK8sTokenAuth)"
    " && variables.cluster.authOptions.enableK8sTokenAuth)"
)
_NOT_JOB = "object.kind != 'RayJob' || "
_SUSPENDED = "has(object.spec.suspend) && object.spec.suspend"
_RETRIES = "has(object.spec.backoffLimit) && object.spec.backoffLimit > 0"
_SELECTS = "has(object.spec.clusterSelector) && size(object.spec.clusterSelector) > 0"
_TIMEOUT = "ray.io/initializing-timeout"
_DURATION = (
    r"^\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|ms|s|m|h)(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|ms|s|m|h))*$|^\+?[0-9]+$"
)


def _at_least(minor: int) -> str:
    """Whether rayVersion is 2.<minor> or newer; KubeRay compares it as a version of three numbers or two."""
    return (
        r"(variables.rayVersion.matches(r'^v?[0-9]+\.[0-9]+') && variables.rayVersion.matches("
        rf"r'^v?([3-9]|[1-9][0-9]+|2\.({_from(minor)}))'))"
    )


def _from(minor: int) -> str:
    """A pattern of the numbers from 50 to 59 on: 52 → 5[2-9]|[6-9][0-9]|[0-9]{3}."""
    return rf"{minor // 10}[{minor % 10}-9]|[{minor // 10 + 1}-9][0-9]|[0-9]{{3}}"


# What controllers/ray/utils/validation.go (1.6.2) says, and where it says it.
_REJECTS: tuple[tuple[str, str], ...] = (
    (
        "a RayService's or RayJob's name has at most 47 characters, a RayCluster's 53",
        "size(object.metadata.name) <= (object.kind == 'RayCluster' ? 53 : 47)",
    ),
    (
        "a name starts with a letter and has lower case letters, digits and dashes",
        "object.metadata.name.matches(r'^[a-z]([-a-z0-9]*[a-z0-9])?$')",
    ),
    (
        "headService.metadata.name of a RayService is KubeRay's",
        "object.kind != 'RayService' || "
        + _OURS.format(
            "!has(h.headService) || !has(h.headService.metadata) || !has(h.headService.metadata.name)"
            " || h.headService.metadata.name == ''"
        ),
    ),
    (
        "resources of a group stand in rayStartParams or in resources, not in both",
        (
            f"{_GROUPS}.all(g, !has(g.resources) || size(g.resources) == 0 || !has(g.rayStartParams)"
            " || ['num-cpus', 'num-gpus', 'memory', 'resources'].all(k,"
            " !(k in g.rayStartParams) || g.rayStartParams[k] == ''))"
        ),
    ),
    (
        "labels of a group stand in labels, not in rayStartParams",
        f"{_GROUPS}.all(g, !has(g.rayStartParams) || !('labels' in g.rayStartParams))",
    ),
    (
        "0 <= minReplicas <= maxReplicas",
        (
            "variables.workers.all(g, (!has(g.minReplicas) || g.minReplicas >= 0)"
            " && (!has(g.minReplicas) || !has(g.maxReplicas) || g.minReplicas <= g.maxReplicas))"
        ),
    ),
    (
        "a group cannot be suspended under the autoscaler; set its replicas to 0",
        "!variables.autoscales || variables.workers.all(g, !has(g.suspend) || !g.suspend)",
    ),
    (
        "Redis stands in gcsFaultToleranceOptions, not in RAY_REDIS_ADDRESS, unless the old annotation turns it on",
        (
            f"{_ENV.format('RAY_REDIS_ADDRESS')}"
            f" || (!has(variables.cluster.gcsFaultToleranceOptions) && {_NOTES.format('ray.io/ft-enabled')})"
        ),
    ),
    (
        "with gcsFaultToleranceOptions neither redis-password, REDIS_PASSWORD nor the old annotations",
        "!has(variables.cluster.gcsFaultToleranceOptions) || ("
        + _START.format("redis-password")
        + " && "
        + _ENV.format("REDIS_PASSWORD")
        + f" && !{_NOTES.format('ray.io/ft-enabled')} && !{_NOTES.format('ray.io/external-storage-namespace')})",
    ),
    (
        "Redis' user stands in gcsFaultToleranceOptions.redisUsername",
        _START.format("redis-username") + " && " + _ENV.format("REDIS_USERNAME"),
    ),
    (
        "with autoscalerOptions.version v2 a restartPolicy is Never or not there",
        f"!{_V2} || variables.pods.all(p, !has(p.restartPolicy) || p.restartPolicy == 'Never')",
    ),
    (
        "RAY_enable_autoscaler_v2 needs enableInTreeAutoscaling, and no autoscalerOptions.version beside it",
        (
            f"variables.autoscales ? (!has(variables.autoscaler.version) || {_ENV.format('RAY_enable_autoscaler_v2')})"
            f" : variables.heads.all(h, !has({_HEAD}.env) || !{_HEAD}.env.exists(e,"
            " e.name == 'RAY_enable_autoscaler_v2' && has(e.value) && e.value in ['1', 'true']))"
        ),
    ),
)
_OF_KINDS: tuple[tuple[str, str], ...] = (
    (
        "authOptions.mode token needs rayVersion 2.52 or newer",
        f"!{_TOKENS} || {_at_least(52)}",
    ),
    (
        "enableK8sTokenAuth is for a RayCluster with mode token, rayVersion 2.55 or newer and no secretName",
        (
            f"!{_K8S} || (object.kind == 'RayCluster' && {_TOKENS} && {_at_least(55)}"
            " && (!has(variables.cluster.authOptions.secretName) || variables.cluster.authOptions.secretName == ''))"
        ),
    ),
    (
        f"{_TIMEOUT} is a duration such as 30m, or seconds, and more than nothing",
        (
            f"object.kind != 'RayService' || !{_NOTES.format(_TIMEOUT)}"
            f" || (object.metadata.annotations[{_TIMEOUT!r}].matches(r'{_DURATION}')"
            f" && object.metadata.annotations[{_TIMEOUT!r}].matches('[1-9]'))"
        ),
    ),
    (
        "a job needs rayClusterSpec or clusterSelector; suspended, a cluster and shutdownAfterJobFinishes: true",
        (
            f"{_NOT_JOB}((has(object.spec.rayClusterSpec) || ({_SELECTS})) && (!({_SUSPENDED})"
            " || (has(object.spec.shutdownAfterJobFinishes) && object.spec.shutdownAfterJobFinishes"
            f" && !({_SELECTS}))))"
        ),
    ),
    (
        "a job that retries has a cluster of its own and is not interactive",
        (
            f"{_NOT_JOB}!({_RETRIES}) || (!({_SELECTS}) && (!has(object.spec.submissionMode)"
            " || object.spec.submissionMode != 'InteractiveMode'))"
        ),
    ),
    (
        "SidecarMode takes no clusterSelector, submitterPodTemplate or submitterConfig",
        (
            f"{_NOT_JOB}!has(object.spec.submissionMode) || object.spec.submissionMode != 'SidecarMode'"
            f" || (!({_SELECTS}) && !has(object.spec.submitterPodTemplate) && !has(object.spec.submitterConfig))"
        ),
    ),
)


Rows = list[tuple[str, str, str]]


def kuberay() -> tuple[Rows, Rows]:
    """Rule, message and CEL of what KubeRay's controller refuses: of any cluster; of a kind, or for its version."""
    cluster, kinds = ([("kuberay-rejects", *row) for row in rows] for rows in (_REJECTS, _OF_KINDS))
    return cluster, kinds
