"""What a rule is, and what it finds."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rayops.render.sources import Place

Family = Literal["schema", "fit", "safety", "kustomize", "config"]
Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Rule:
    """One thing that can be wrong.

    id: its name for ever, in configuration files and SARIF; lower case with dashes. summary: what is wrong and why it
    matters, one sentence. fix: what to write instead, one sentence. link: a page of this repository (from its root) or
    an address.
    """

    id: str
    family: Family
    severity: Severity
    summary: str
    fix: str
    link: str


@dataclass(frozen=True)
class Finding:
    """One place where a rule does not hold.

    obj: "RayService rag/rag", or a file where no object is at fault. path: the field, as in
    rayops.review.changes.Change.path. message: what is wrong here, with its values, one line. source: what was
    rendered. place: the file and line to mend, None where it is not known. severity: the rule's, unless .rayops.yaml
    says another one.
    """

    rule: Rule
    obj: str
    path: tuple[str, ...]
    message: str
    source: str
    place: "Place | None"
    severity: Severity

    @property
    def dotted(self) -> str:
        """The path for people: `spec.rayClusterConfig.workerGroupSpecs[cpu].maxReplicas`."""
        return ".".join(self.path).replace(".[", "[")
