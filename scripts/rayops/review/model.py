"""What a review says: an item for each object of Ray, what else changes, who inherits it, what it costs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rayops.fit import Amount, Capacity, Cost
from rayops.review.effects import Code, Effect

DANGER = {code: position for position, code in enumerate(Code)}


@dataclass(frozen=True)
class Reason:
    """One field. path: JSONPath (RFC 9535) in the new object, in the old one where it is gone; a Serve config's fields
    go on below serveConfigV2. place: "file:line" that writes it, "" where nobody knows."""

    path: str
    place: str
    old: Any
    new: Any
    effect: Effect
    why: str


@dataclass(frozen=True)
class During:
    """What the cluster needs beyond what it has while the change is made. lasts: for how long, in words.

    quota: why the namespace's ResourceQuota does not hold the peak, "" where it does or there is none.
    """

    pods: int
    amount: Amount
    lasts: str
    quota: str = ""


@dataclass(frozen=True)
class Item:
    """One RayService, RayCluster or RayJob of one source. before, after: what it takes; None where it is not there."""

    source: str
    environment: str
    kind: str
    namespace: str
    name: str
    effect: Effect
    why: str
    reasons: tuple[Reason, ...] = ()
    restarts: tuple[str, ...] = ()
    reconfigures: tuple[str, ...] = ()
    during: During | None = None
    failures: str = ""
    revert: str = ""
    before: Capacity | None = None
    after: Capacity | None = None
    cost_before: Cost | None = None
    cost_after: Cost | None = None

    @property
    def verdict(self) -> Code:
        """For machines, and for the order of rows."""
        return self.effect.code

    @property
    def title(self) -> str:
        """`RayService rag/rag`."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True)
class Other:
    """An object that is not Ray's. change: created, deleted or changed."""

    source: str
    environment: str
    obj: str
    change: str
    reasons: tuple[Reason, ...]


@dataclass(frozen=True)
class Finding:
    """A finding of `rayops lint` that one side has and the other has not. security: of its safety family."""

    id: str
    severity: str
    source: str
    obj: str
    message: str
    place: str
    security: bool


@dataclass(frozen=True)
class Spending:
    """A month of an environment's Ray pods before and after, at their most. budget: 0 where there is none."""

    environment: str
    currency: str
    before: float
    after: float
    budget: float = 0.0

    @property
    def over(self) -> bool:
        """Whether the change leaves the environment above its budget."""
        return bool(self.budget) and self.after > self.budget


@dataclass(frozen=True)
class Inherited:
    """A file that changed, and the environments that are built from it."""

    file: str
    environments: tuple[str, ...]
    sources: int


@dataclass(frozen=True)
class Review:
    """All of it. problems: what does not render after the change, one line each."""

    before: str
    after: str
    items: tuple[Item, ...] = ()
    others: tuple[Other, ...] = ()
    problems: tuple[str, ...] = ()
    new_findings: tuple[Finding, ...] = ()
    gone_findings: tuple[Finding, ...] = ()
    spending: tuple[Spending, ...] = ()
    inherited: tuple[Inherited, ...] = ()
    sources: int = 0
    fails: tuple[str, ...] = field(default=())

    @property
    def changed(self) -> tuple[Item, ...]:
        """The items that differ, by danger."""
        return tuple(item for item in self.items if item.reasons or item.verdict is not Code.NONE)


def by_danger(items: Sequence[Item]) -> tuple[Item, ...]:
    """The gravest verdict first; then production, as far as names tell, then by name."""
    return tuple(
        sorted(items, key=lambda item: (DANGER[item.verdict], "prod" not in item.environment, item.source, item.name))
    )
