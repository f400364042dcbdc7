"""Who may talk to whom by the NetworkPolicies of one namespace, worked out as Kubernetes documents it."""

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rayops.render import Obj

Labels = Mapping[str, str]
HOLDS: Mapping[str, Callable[[str | None, list[str]], bool]] = {
    "In": lambda value, values: value in values,
    "NotIn": lambda value, values: value not in values,
}


@dataclass(frozen=True)
class Pod:
    """A pod: its labels, those of its namespace (none: the one that the policies are in), its named ports."""

    labels: Labels
    namespace: Labels | None = None
    ports: Mapping[str, int] = field(default_factory=dict)


Place = Pod | str  # an IP address, outside of the cluster or of a node


def allowed(policies: Iterable[Obj], source: Place, target: Place, port: int, protocol: str = "TCP") -> bool:
    """Whether a connection passes: out of the source and into the target."""
    listed = list(policies)
    out = passes(listed, "Egress", source, target, (target, port, protocol))
    return out and passes(listed, "Ingress", target, source, (target, port, protocol))


def passes(policies: list[Obj], way: str, subject: Place, peer: Place, wanted: tuple[Place, int, str]) -> bool:
    """Whether the policies that select a pod let it take part; what none selects takes part in everything."""
    if isinstance(subject, str) or subject.namespace is not None:
        return True
    selecting = [
        policy["spec"]
        for policy in policies
        if way in policy["spec"]["policyTypes"] and selects(policy["spec"]["podSelector"], subject.labels)
    ]
    rules = [rule for spec in selecting for rule in spec.get(way.lower(), [])]
    side = "from" if way == "Ingress" else "to"
    return not selecting or any(
        any(fits(entry, peer) for entry in rule.get(side, [{}]))
        and any(opens(p, *wanted) for p in rule.get("ports", [{}]))
        for rule in rules
    )


def fits(entry: Mapping[str, Any], peer: Place) -> bool:
    """Whether a peer of a rule is meant; an empty entry means everybody."""
    if not entry:
        return True
    if isinstance(peer, str):
        block = entry.get("ipBlock")
        return block is not None and ipaddress.ip_address(peer) in ipaddress.ip_network(block["cidr"])
    if "ipBlock" in entry:
        return False
    elsewhere = entry.get("namespaceSelector")
    here = peer.namespace is None if elsewhere is None else selects(elsewhere, peer.namespace or {})
    return here and selects(entry.get("podSelector", {}), peer.labels)


def opens(entry: Mapping[str, Any], target: Place, port: int, protocol: str) -> bool:
    """Whether a port of a rule is the wanted one; a name means the port of that name of the target, if it has one."""
    if not entry:
        return True
    number = entry["port"]
    if isinstance(number, str):
        number = target.ports.get(number) if isinstance(target, Pod) else None
    return bool(number == port and entry["protocol"] == protocol)


def selects(selector: Mapping[str, Any], labels: Labels) -> bool:
    """Whether a label selector matches; an empty one matches everything.

    Raises KeyError for an operator that no policy here uses.
    """
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items()) and all(
        HOLDS[entry["operator"]](labels.get(entry["key"]), entry.get("values", []))
        for entry in selector.get("matchExpressions", [])
    )
