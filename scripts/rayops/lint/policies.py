"""The rules that the API server can hold to as well: base/policies is written from this table and the registry.

    python -m rayops.lint.policies      # writes base/policies/*.validatingadmissionpolicy.yaml again

One source for id and message: the registry. Every rule that is an error has a row in SEEN (its CEL) or in UNSEEN (why
admission cannot hold to it); a test reads that. CEL knows: object, namespaceObject, and the variables below.
"""

from pathlib import Path

from rayops.lint.batching import SWITCHES
from rayops.lint.cel import each_container, each_environment, kuberay, lines
from rayops.lint.exposure import INSIDE, INSIDE_NAMES, OUTWARD, TOO_MUCH
from rayops.lint.images import MOVING, PYTHON, RAY_IMAGE, TAGGED, VERSION
from rayops.lint.kuberay import REJECTS
from rayops.lint.model import Rule
from rayops.lint.rules import all_rules
from rayops.lint.safety import UNBOUNDED
from rayops.lint.secrets import CREDENTIALS, REFERENCE, SECRETS
from rayops.paths import ROOT

FOLDER = ROOT / "base" / "policies"
# Which rules of SEEN are those of ray-images; kuberay-rejects has policies of its own.
IMAGES = ("image-latest", "image-ray-version", "image-python", "secret-in-plain")
# The annotation of a namespace that names the rules which do not hold there. No paramKind: once the last policy with
# ConfigMaps as parameters was deleted, the API server of 1.34.4 found none for a new one (seen; its informer is shared,
# and was stopped: apiserver pkg/admission/plugin/policy/generic/policy_source.go, ensureParamsForPolicyLocked).
ALLOW = "rayops.io/policies-allow"
OPERATOR = "system:serviceaccount:kuberay-system:kuberay-operator"

VARIABLES = {
    "allowed": (
        f"has(namespaceObject.metadata.annotations) && '{ALLOW}' in namespaceObject.metadata.annotations ?"
        f" namespaceObject.metadata.annotations['{ALLOW}'].split(' ') : []"
    ),
    "cluster": (
        "object.kind == 'RayService' ? object.spec.rayClusterConfig :"
        " object.kind == 'RayCluster' ? object.spec :"
        " has(object.spec.rayClusterSpec) ? object.spec.rayClusterSpec : {}"
    ),
    "heads": "has(variables.cluster.headGroupSpec) ? [variables.cluster.headGroupSpec] : []",
    "workers": "has(variables.cluster.workerGroupSpecs) ? variables.cluster.workerGroupSpecs : []",
    "pods": "(variables.heads + variables.workers).map(g, g.template.spec)",
    "autoscales": ("has(variables.cluster.enableInTreeAutoscaling) && variables.cluster.enableInTreeAutoscaling"),
    "autoscaler": "has(variables.cluster.autoscalerOptions) ? variables.cluster.autoscalerOptions : {}",
    "redis": "has(variables.cluster.gcsFaultToleranceOptions) ? variables.cluster.gcsFaultToleranceOptions : {}",
    "rayVersion": "has(variables.cluster.rayVersion) ? variables.cluster.rayVersion : ''",
}

_TAGGED = f"(x.contains('@') || (x.matches(r'{TAGGED}') && !x.matches(r'{MOVING}')))"
_SAME_RAY = (
    f"(!variables.rayVersion.matches(r'^{VERSION}$') || !x.matches(r'{RAY_IMAGE}')"
    f" || x.find(r':{VERSION}') == ':' + variables.rayVersion)"
)
_FIRST = "containers[0].image"
_PLAIN = (
    f"!has(e.value) || e.value == '' || ((!e.name.matches(r'{SECRETS}') || e.value.matches(r'{REFERENCE}'))"
    f" && !e.value.matches(r'{CREDENTIALS}'))"
)
_PORTS = f"{[*map(str, INSIDE), *INSIDE_NAMES]}".replace('"', "'")
_OUT = f"{list(OUTWARD)}".replace('"', "'")


def _images(test: str) -> str:
    """A test of an image `x`, of all containers and of the autoscaler's."""
    inside = test.replace("x.", "c.image.").replace("(x", "(c.image")
    own = test.replace("x.", "variables.autoscaler.image.").replace("(x", "(variables.autoscaler.image")
    return f"{each_container(f'!has(c.image) || {inside}')} && (!has(variables.autoscaler.image) || {own})"


def _environment(group: str) -> str:
    """The environment of a group's Ray container."""
    container = f"{group}.template.spec.containers[0]"
    return f"(has({container}.env) ? {container}.env : [])"


def _unknown(group: str, name: str = "n") -> str:
    """Whether a ConfigMap or a Secret decides on a variable."""
    container, environment = f"{group}.template.spec.containers[0]", _environment(group)
    return (
        f"({environment}.exists(e, e.name == {name} && has(e.valueFrom)) || (has({container}.envFrom)"
        f" && size({container}.envFrom) > 0 && !{environment}.exists(e, e.name == {name})))"
    )


def _value(group: str) -> str:
    """The value of the variable n as a list; [] where it is not set, or empty."""
    return f"{_environment(group)}.filter(e, e.name == n && has(e.value) && e.value != '').map(e, e.value)"


def _has(name: str, test: str) -> str:
    """Whether a variable of the head is set to a value that passes a test."""
    return f"{_environment('h')}.exists(e, e.name == '{name}' && has(e.value) && {test})"


_ON, _ZERO, _GIVEN = "e.value.matches('^(1|[tT][rR][uU][eE])$')", "e.value == '0'", "!(e.value in ['', '0'])"
_HAPROXY = "'RAY_SERVE_ENABLE_HA_PROXY'"
SEEN: dict[str, str] = {
    "max-replicas-unbounded": (
        f"!variables.autoscales || variables.workers.all(g, has(g.maxReplicas) && g.maxReplicas < {UNBOUNDED})"
    ),
    "image-latest": _images(_TAGGED),
    "image-ray-version": _images(_SAME_RAY),
    "image-python": (
        f"variables.heads.all(h, variables.workers.all(g, !has(h.template.spec.{_FIRST})"
        f" || !has(g.template.spec.{_FIRST}) || h.template.spec.{_FIRST}.find(r'{PYTHON}') == ''"
        f" || g.template.spec.{_FIRST}.find(r'{PYTHON}') == ''"
        f" || h.template.spec.{_FIRST}.find(r'{PYTHON}') == g.template.spec.{_FIRST}.find(r'{PYTHON}')))"
    ),
    "secret-in-plain": (
        f"{each_environment(_PLAIN)}"
        f" && (!has(variables.redis.redisPassword) || !has(variables.redis.redisPassword.value)"
        f" || variables.redis.redisPassword.value == '' || variables.redis.redisPassword.value.matches(r'{REFERENCE}'))"
        f" && (variables.heads + variables.workers).all(g, !has(g.rayStartParams)"
        f" || !('redis-password' in g.rayStartParams) || g.rayStartParams['redis-password'] == ''"
        f" || g.rayStartParams['redis-password'].matches(r'{REFERENCE}'))"
    ),
    "dashboard-exposed": (
        f"variables.heads.all(h, (!has(h.serviceType) || !(h.serviceType in {_OUT}))"
        " && (!has(h.enableIngress) || !h.enableIngress)"
        " && (!has(h.headService) || !has(h.headService.spec) || !has(h.headService.spec.type)"
        f" || !(h.headService.spec.type in {_OUT})))"
        " && (!has(object.spec.serveService) || !has(object.spec.serveService.spec)"
        f" || !has(object.spec.serveService.spec.type) || !(object.spec.serveService.spec.type in {_OUT})"
        " || !has(object.spec.serveService.spec.ports) || object.spec.serveService.spec.ports.all(p,"
        f" !(string(p.port) in {_PORTS}) && (!has(p.targetPort) || !(string(p.targetPort) in {_PORTS}))))"
    ),
    "pod-privileged": (
        "variables.pods.all(p, (!has(p.hostNetwork) || !p.hostNetwork) && (!has(p.hostPID) || !p.hostPID)"
        " && (!has(p.hostIPC) || !p.hostIPC)) && "
        + each_container(
            "(!has(c.ports) || c.ports.all(p, !has(p.hostPort) || p.hostPort == 0)) && (!has(c.securityContext)"
            " || ((!has(c.securityContext.privileged) || !c.securityContext.privileged)"
            " && (!has(c.securityContext.allowPrivilegeEscalation) || !c.securityContext.allowPrivilegeEscalation)"
            " && (!has(c.securityContext.capabilities) || !has(c.securityContext.capabilities.add)"
            f" || c.securityContext.capabilities.add.all(x, !(x in {list(TOO_MUCH)})))))"
        )
    ),
    "host-path": "variables.pods.all(p, !has(p.volumes) || p.volumes.all(v, !has(v.hostPath)))",
    "serve-port-missing": (
        "object.kind != 'RayService' || variables.heads.all(h, !has(h.template.spec.containers[0].ports)"
        " || size(h.template.spec.containers[0].ports) == 0 || h.template.spec.containers[0].ports.exists(p,"
        " has(p.name) && (p.name == 'serve' || p.name.startsWith('serve-'))))"
    ),
    "gcs-namespace-fixed": (
        "object.kind != 'RayService' || !has(variables.redis.externalStorageNamespace)"
        " || variables.redis.externalStorageNamespace == ''"
    ),
    "serve-switch-differs": (
        f"object.kind != 'RayService' || {list(SWITCHES)}.all(n, variables.heads.all(h, variables.workers.all(g,"
        f" {_unknown('h')} || {_unknown('g')} || {_value('h')} == {_value('g')})))"
    ),
    "throughput-without-haproxy": (
        f"object.kind != 'RayService' || variables.heads.all(h, !{_has('RAY_SERVE_THROUGHPUT_OPTIMIZED', _ON)}"
        f" || {_has('RAY_SERVE_ENABLE_DIRECT_INGRESS', _ZERO)} || {_has('RAY_SERVE_ENABLE_HA_PROXY', _GIVEN)}"
        f" || {_unknown('h', _HAPROXY)})"
    ),
    "group-duplicated": (
        "variables.workers.all(g, size(variables.workers.filter(o, o.groupName == g.groupName)) == 1)"
    ),
}
_STRING = "serveConfigV2 is a string, and CEL cannot parse YAML"
_SOURCE = "it is about the files in Git; the API server sees what they became"
UNSEEN: dict[str, str] = {
    "resources-unreadable": "the CRD holds pods to it; those of replicas stand in serveConfigV2, a string",
    "over-budget": "prices and budgets are in Git",
    "crd-schema": "no policy is needed: the API server itself refuses it",
    "crd-unknown-field": "the API server drops such fields before admission; --validate=strict refuses them",
    "serve-config": _STRING,
    "serve-unknown-field": _STRING,
    "proxy-head-only": _STRING,
    "serve-port-differs": _STRING,
    "serve-host-local": _STRING,
    "does-not-render": _SOURCE,
    "merge-patch-replaces-list": _SOURCE,
    "group-reordered": _SOURCE,
    "graft-not-last": _SOURCE,
    "openapi-in-base": _SOURCE,
    "generated-name-not-followed": "it is about two objects, and CEL sees one",
}
# The same for all rules of a family.
UNSEEN_FAMILIES: dict[str, str] = {
    "fit": "it is a sum over the deployments of serveConfigV2, a string, or over several objects",
}
# What of a rule that admission sees only lint sees.
PARTLY: dict[str, str] = {
    "secret-in-plain": "env_vars of a runtime_env stand in a string, and CEL cannot parse YAML",
    "dashboard-exposed": "Services, Ingresses and routes of one's own are no objects of Ray, and not asked about",
    "kuberay-rejects": "runtimeEnvYAML that is no YAML, and rules of deletionStrategy",
}


def unseen(rule: Rule) -> str:
    """Why admission does not hold to a rule; "" where it does."""
    if rule.id in SEEN or rule.id == REJECTS.id:
        return ""
    return UNSEEN.get(rule.id) or UNSEEN_FAMILIES.get(rule.family, "")


def policies() -> dict[str, str]:
    """The text of each policy by its file's name."""
    rules = all_rules()
    rows = {rule: (rule, f"{rules[rule].summary}; {rules[rule].fix}", cel) for rule, cel in SEEN.items()}
    cluster, kinds = kuberay()
    given = {
        "ray-images": [row for rule, row in rows.items() if rule in IMAGES],
        "ray-kuberay": cluster,
        "ray-kuberay-kinds": kinds,
        "ray-safety": [row for rule, row in rows.items() if rule not in IMAGES],
    }
    return {f"{name}.validatingadmissionpolicy.yaml": _policy(name, rows) for name, rows in given.items()}


def _policy(name: str, rows: list[tuple[str, str, str]]) -> str:
    validations = []
    for rule, message, expression in rows:
        validations += ["  - expression: >-", *lines(f"'{rule}' in variables.allowed || ({expression})", 6)]
        validations += ["    message: >-", *lines(f"{rule}: {message}", 6)]
    return "\n".join([_HEAD.format(name=name), *_variables("\n".join(validations)), *validations]) + "\n"


def _variables(used_in: str) -> list[str]:
    """The variables that a text uses, in their order, and those that they use."""
    used: list[str] = []
    for name in reversed(VARIABLES):
        if any(f"variables.{name}" in text for text in (used_in, *(VARIABLES[each] for each in used))):
            used.append(name)
    text = ["  variables:"]
    for name in reversed(used):
        text += [f"  - name: {name}", "    expression: >-", *lines(VARIABLES[name], 6)]
    return [*text, "  validations:"]


_HEAD = f"""\
# Written by `python -m rayops.lint.policies` from the rules of rayops lint: change those, not this.
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: {{name}}
  annotations: {{{{argocd.argoproj.io/sync-wave: "-20"}}}}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - apiGroups: [ray.io]
      apiVersions: [v1]
      operations: [CREATE, UPDATE]
      resources: [rayservices, rayclusters, rayjobs]
  matchConditions:
  - name: of-people # what the operator makes was admitted before as a RayService or RayJob
    expression: request.userInfo.username != '{OPERATOR}'
  - name: of-the-spec # finalizers must come off whatever the spec says
    expression: request.operation == 'CREATE' || object.spec != oldObject.spec"""


def table() -> list[str]:
    """The rows of base/policies/README.md: every rule that is an error, and what admission makes of it."""
    errors = [rule for rule in all_rules().values() if rule.severity == "error"]
    seen = [rule.id for rule in errors if not unseen(rule)]
    rows = [f"| {', '.join(f'`{rule}`' for rule in seen if rule not in PARTLY)} | yes |"]
    rows += [f"| `{rule}` | yes, but: {PARTLY[rule]} |" for rule in seen if rule in PARTLY]
    reasons = {why: [rule.id for rule in errors if unseen(rule) == why] for why in map(unseen, errors) if why}
    return rows + [f"| {', '.join(f'`{rule}`' for rule in ids)} | no: {why} |" for why, ids in reasons.items()]


def main(folder: Path = FOLDER) -> int:
    """Write the policies."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in policies().items():
        (folder / name).write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
