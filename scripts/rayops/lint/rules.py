"""The registry: every rule, and the checks that find where one does not hold.

    UNBOUNDED = Rule("max-replicas-unbounded", "safety", "error", "…", "…", "base/…")

    @check(UNBOUNDED)
    def bounded(context: Context) -> Iterator[Finding]:
        for ray in context.ray:
            for group in ray.workers:
                if "maxReplicas" not in group.obj:
                    yield context.finding(UNBOUNDED, ray.resource, group.path, f"group {group.name} has no maxReplicas")

A check yields findings of the rules that it names, and of no others. A module with checks is listed in MODULES.
"""

import importlib
import importlib.util
from collections.abc import Callable, Iterator

from rayops.lint.context import Context
from rayops.lint.model import Finding, Rule

Check = Callable[[Context], Iterator[Finding]]
MODULES = (
    "engine",
    "schema",
    "kuberay",
    "safety",
    "images",
    "secrets",
    "exposure",
    "serving",
    "traps",
    "fit",
    "batching",
)

_rules: dict[str, Rule] = {}
_checks: list[tuple[Check, tuple[Rule, ...]]] = []


def check(*rules: Rule) -> Callable[[Check], Check]:
    """Register a check with the rules whose findings it yields. ValueError for an id that is taken."""
    declare(*rules)

    def register(function: Check) -> Check:
        _checks.append((function, rules))
        return function

    return register


def declare(*rules: Rule) -> None:
    """Register rules whose findings come from elsewhere than a check. ValueError for an id that is taken."""
    for rule in rules:
        if _rules.setdefault(rule.id, rule) is not rule:
            raise ValueError(f"two rules are named {rule.id}")


def all_rules() -> dict[str, Rule]:
    """Every rule by id, sorted."""
    _load()
    return dict(sorted(_rules.items()))


def findings(context: Context) -> Iterator[Finding]:
    """What all checks find in one source."""
    _load()
    for function, rules in _checks:
        for found in function(context):
            if found.rule not in rules:
                raise ValueError(f"{function.__name__} does not name the rule {found.rule.id}")
            yield found


def _load() -> None:
    for name in MODULES:
        if importlib.util.find_spec(f"rayops.lint.{name}"):
            importlib.import_module(f"rayops.lint.{name}")
