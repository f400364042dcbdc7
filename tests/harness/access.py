"""Who may do what: actions, what rules say of them, and what the API server says, asked as that subject.

allowed(rules, Action("get", "secrets"))                       # from rules as rendered
may(kube, Subject("jane", "rag-team"), "rag", Action(...))     # from the live API server, by impersonation
"""

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from rayops.kube import Kube, Obj


@dataclass(frozen=True)
class Action:
    """A verb on a resource (`pods`, `pods/exec`) of an API group; name: of one object, where that matters."""

    verb: str
    resource: str
    group: str = ""
    name: str = ""

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{f'.{self.group}' if self.group else ''}"


@dataclass(frozen=True)
class Subject:
    """A user as the API server sees one: a name and one group; `system:authenticated` comes by itself."""

    user: str
    group: str


def allowed(rules: Iterable[Obj], action: Action) -> bool:
    """Whether rules of a Role grant an action, as the API server matches them (resource names apart)."""

    def has(rule: Obj, key: str, value: str) -> bool:
        return bool({value, "*"} & set(rule.get(key, [])))

    return any(
        has(rule, "apiGroups", action.group)
        and has(rule, "resources", action.resource)
        and has(rule, "verbs", action.verb)
        for rule in rules
    )


def client_as(kube: Kube, subject: Subject) -> Any:
    """The official client's connection that acts as another subject, with what an administrator may: impersonate."""
    from kubernetes import client

    api = client.ApiClient(deepcopy(kube.configuration))
    api.set_default_header("Impersonate-User", subject.user)
    api.set_default_header("Impersonate-Group", subject.group)
    return api


def may(api: Any, namespace: str | None, action: Action) -> bool:
    """What the API server answers to a SelfSubjectAccessReview of the subject of `client_as`. None: cluster-wide."""
    from kubernetes import client

    resource, _, subresource = action.resource.partition("/")
    asked = client.V1ResourceAttributes(
        verb=action.verb,
        group=action.group,
        resource=resource,
        subresource=subresource or None,
        namespace=namespace,
        name=action.name or None,
    )
    review = client.V1SelfSubjectAccessReview(spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=asked))
    return bool(client.AuthorizationV1Api(api).create_self_subject_access_review(review).status.allowed)
