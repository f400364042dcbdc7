"""KubeRay's own validation: what its controller says of an object after it was admitted, said before the merge."""

import re
from collections.abc import Iterator

from rayops.lint.context import Context
from rayops.lint.model import Finding, Rule
from rayops.lint.rules import check
from rayops.lint.schema import CRD_SCHEMA
from rayops.lint.view import Path, Ray

REJECTS = Rule(
    "kuberay-rejects",
    "schema",
    "error",
    "KubeRay's controller refuses the object: it is admitted and synced, and then nothing happens but one event",
    "do what the message says; the words are KubeRay's own",
    "base/observability/runbooks/rayservice-not-ready.md",
)
# What the messages of controllers/ray/utils/validation.go (1.6.2) are about, and what to write: the first that matches.
# The field is below the cluster's spec, or below the object where it starts with `/`.
FIXES: tuple[tuple[str, str, str], ...] = (
    (r"name should be no more than (?P<most>\d+)", "/metadata.name", "use at most {most} characters"),
    (r"valid DNS1035 label", "/metadata.name", "start with a letter; lower case letters, digits and dashes"),
    (r"annotations is invalid|initializing-timeout", "/metadata.annotations", "write a duration such as 30m"),
    (r"headService.metadata.name", "headGroupSpec.headService.metadata.name", "remove the name; KubeRay gives it"),
    (r"both rayStartParams and Resources for Head", "headGroupSpec.resources", "keep one of the two"),
    (r"both rayStartParams and Resources for (?P<group>\S+) ", "[{group}].resources", "keep one of the two"),
    (r"rayStartParams\['labels'\] is not supported for (?P<group>\S+) ", "[{group}].rayStartParams", "use labels"),
    (r"worker group (?P<group>\S+) must set both", "[{group}].maxReplicas", "set both, or let the autoscaler decide"),
    (r"worker group (?P<group>\S+) has .*minReplicas", "[{group}].minReplicas", "0 <= minReplicas <= maxReplicas"),
    (r"worker group (?P<group>\S+) has .*maxReplicas", "[{group}].maxReplicas", "0 <= minReplicas <= maxReplicas"),
    (r"worker group (?P<group>\S+) (can|cannot) be suspended", "[{group}].suspend", "set replicas to 0 instead"),
    (r"[iI]dleTimeoutSeconds", "autoscalerOptions", "write autoscalerOptions.version: v2 for a timeout of a group"),
    (r"restartPolicy for head", "headGroupSpec.template.spec.restartPolicy", "remove it; KubeRay sets Never"),
    (r"restartPolicy for worker group (?P<group>\S+) ", "[{group}].template.spec.restartPolicy", "remove it"),
    (r"RAY_enable_autoscaler_v2", "headGroupSpec.template.spec", "remove it; autoscalerOptions.version: v2 says it"),
    (r"RAY_REDIS_ADDRESS|REDIS_PASSWORD|redis username|redis-password", "gcsFaultToleranceOptions", "say it there"),
    (r"ft-enabled|external-storage-namespace", "/metadata.annotations", "keep gcsFaultToleranceOptions alone"),
    (r"K8s token auth|enableK8sTokenAuth|authOptions", "authOptions", "mode: token with a secretName, and rayVersion"),
    (r"ClusterUpgradeOptions|NewClusterWithIncrementalUpgrade", "/spec.upgradeStrategy", "see incremental-upgrade"),
    (
        r"UpgradeStrategy.Type|upgradeStrategy cannot",
        "upgradeStrategy",
        "remove it, or write one that the message names",
    ),
)


@check(REJECTS, CRD_SCHEMA)
def accepted(context: Context) -> Iterator[Finding]:
    """Each object as the API server (values, CEL rules of the CRD) and KubeRay's controller would judge it."""
    for ray in context.ray:
        answer = context.kuberay(ray.obj)
        for said in answer.problems if answer else ():
            path, fix = told(ray, said) if answer and answer.admitted else ((), "")
            rule = REJECTS if answer and answer.admitted else CRD_SCHEMA
            yield context.finding(rule, ray.resource, path, f"{said} ({fix})" if fix else said)


def told(ray: Ray, said: str) -> tuple[Path, str]:
    """The field that a message of KubeRay is about, as far as it is known, and the fix; the spec and "" where not."""
    for pattern, field, fix in FIXES:
        if match := re.search(pattern, said):
            names = match.groupdict()
            return _path(ray, field.format(**names)), fix.format(**names)
    return (ray.cluster_path if ray.cluster else ("spec",)), ""


def _path(ray: Ray, field: str) -> Path:
    if field.startswith("/"):
        return tuple(field[1:].split("."))
    group, dot, rest = field.partition("].")
    if field.startswith("[") and dot:
        return (*ray.cluster_path, "workerGroupSpecs", f"{group}]", *rest.split("."))
    return (*ray.cluster_path, *field.split("."))
