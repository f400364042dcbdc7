"""What the roles of base/platform/cluster-roles allow in a pipeline's namespace, and what they must never allow."""

from tests.harness.access import Action

RAY, RBAC, GATEWAY = "ray.io", "rbac.authorization.k8s.io", "gateway.networking.k8s.io"
READ = ("get", "list", "watch")
WRITE = ("create", "update", "patch", "delete")


def each(verbs: tuple[str, ...], group: str, *resources: str) -> list[Action]:
    """Every verb on every resource."""
    return [Action(verb, resource, group) for resource in resources for verb in verbs]


LOOK = [
    *each(READ, RAY, "rayservices", "rayjobs", "rayclusters"),
    *each(READ, "", "pods", "services", "events"),
    Action("get", "pods/log"),
    *each(READ, GATEWAY, "httproutes"),
]
LIMITS = [
    *each(READ, "", "resourcequotas", "limitranges"),
    *each(READ, "networking.k8s.io", "networkpolicies"),
    *each(READ, "policy", "poddisruptionbudgets"),
]
# What runs code in a pod, reads a secret, or gives its holder more than it has.
NEVER = [
    # kubectl exec asks for `get` over WebSockets and for `create` over SPDY.
    *each(("get", "create"), "", "pods/exec", "pods/attach", "pods/portforward", "pods/proxy", "services/proxy"),
    *each(("update", "patch"), "", "pods/ephemeralcontainers"),
    *each(("create", "update", "patch"), "", "pods"),
    *each(("create",), "", "pods/eviction", "serviceaccounts", "serviceaccounts/token"),
    *each((*READ, *WRITE), "", "secrets"),
    *each(WRITE, "", "configmaps", "namespaces", "services"),
    *each(WRITE, RBAC, "roles", "rolebindings"),
    *each(WRITE, RBAC, "clusterroles", "clusterrolebindings"),
    *each(("bind", "escalate"), RBAC, "roles", "clusterroles"),
    *each(("impersonate",), "", "users", "groups", "serviceaccounts"),
    *each(("update", "patch"), RAY, "rayservices/status", "rayclusters/status", "rayservices/finalizers"),
    *each(WRITE, GATEWAY, "gateways", "gatewayclasses", "referencegrants"),
    *each(("deletecollection",), RAY, "rayservices", "rayjobs", "rayclusters"),
    Action("create", "jobs", "batch"),
    Action("create", "deployments", "apps"),
    Action("get", "nodes/proxy"),
]
# Who opens another way in, or takes the path of another pipeline.
WRITE_ROUTES = each(WRITE, GATEWAY, "httproutes")
WRITE_LIMITS = [Action(verb, a.resource, a.group) for a in LIMITS if a.verb == "get" for verb in WRITE]

MAY = {
    "ray-app-team": [*LOOK, *each(WRITE, RAY, "rayservices", "rayjobs")],
    "ray-platform": [
        *LOOK,
        *LIMITS,
        *WRITE_LIMITS,
        *WRITE_ROUTES,
        *each(WRITE, RAY, "rayservices", "rayjobs", "rayclusters", "raycronjobs"),
        *each(READ, RBAC, "roles", "rolebindings"),
    ],
    "ray-reader": [*LOOK, *LIMITS],
}
MUST_NOT = {
    "ray-app-team": [*NEVER, *WRITE_LIMITS, *WRITE_ROUTES, *each(WRITE, RAY, "rayclusters", "raycronjobs")],
    "ray-platform": NEVER,
    "ray-reader": [
        *NEVER,
        *WRITE_LIMITS,
        *WRITE_ROUTES,
        *each(WRITE, RAY, "rayservices", "rayjobs", "rayclusters", "raycronjobs"),
    ],
}
# The group that each role is bound to in a pipeline's namespace.
GROUPS = {"ray-app-team": "{pipeline}-team", "ray-platform": "platform-team", "ray-reader": "readers"}
