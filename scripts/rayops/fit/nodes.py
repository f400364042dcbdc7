"""Which nodes take a pod: node selector, required node affinity, taints and size, as kube-scheduler filters them."""

from collections.abc import Callable, Mapping
from typing import Any

from rayops.fit.amounts import Requests
from rayops.fit.prices import Pool

_ROUNDING = 1e-9


def admits(pool: Pool, spec: Mapping[str, Any]) -> bool:
    """Whether a pod spec may go to the pool's nodes, its size left aside."""
    return _tolerated(pool, spec) and selected(pool.labels, spec)


def holds(pool: Pool, requests: Requests) -> bool:
    """Whether one empty node is big enough."""
    return all(value <= pool.allocatable.get(name, 0.0) + _ROUNDING for name, value in requests.items() if value)


def share(pool: Pool, requests: Requests) -> float:
    """The largest part of a node that a pod takes: of its CPU, its memory or its GPUs. 0 for one that asks nothing."""
    return max((value / pool.allocatable[name] for name, value in requests.items() if value), default=0.0)


def selected(labels: Mapping[str, str], spec: Mapping[str, Any]) -> bool:
    """Whether a node's labels fit a pod's nodeSelector and its required node affinity; terms are alternatives."""
    if any(labels.get(name) != value for name, value in (spec.get("nodeSelector") or {}).items()):
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    terms = required.get("nodeSelectorTerms") or []
    return any(all(_matches(labels, each) for each in term.get("matchExpressions") or []) for term in terms)


def _matches(labels: Mapping[str, str], expression: Mapping[str, Any]) -> bool:
    value, values = labels.get(str(expression.get("key"))), expression.get("values") or []
    checks: dict[str, Callable[[], bool]] = {
        "In": lambda: value in values,
        "NotIn": lambda: value not in values,
        "Exists": lambda: value is not None,
        "DoesNotExist": lambda: value is None,
        "Gt": lambda: value is not None and int(value) > int(values[0]),
        "Lt": lambda: value is not None and int(value) < int(values[0]),
    }
    check = checks.get(str(expression.get("operator")))
    return check is not None and check()


def _tolerated(pool: Pool, spec: Mapping[str, Any]) -> bool:
    tolerations = spec.get("tolerations") or []
    everything = any(each.get("operator") == "Exists" and not each.get("key") for each in tolerations)
    return everything or all(any(each.get("key") == taint for each in tolerations) for taint in pool.taints)
