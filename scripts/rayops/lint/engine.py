"""All rules over all sources: what is found, what of it is right to be there, and whether that is a failure."""

import datetime
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rayops.errors import RayopsError
from rayops.lint import schema
from rayops.lint.config import NAME, NEVER, Config, Entry
from rayops.lint.context import Context, title
from rayops.lint.model import SEVERITIES, Finding, Rule
from rayops.lint.rules import all_rules, declare, findings
from rayops.lint.view import KINDS
from rayops.render.objects import Obj

if TYPE_CHECKING:
    from rayops.kuberay import Answer
    from rayops.render.sources import Source

ANNOTATION = "rayops.io/lint-ignore"
NOT_RENDERED = Rule(
    "does-not-render",
    "schema",
    "error",
    "the folder or file gives no objects: nothing of it can be applied, or checked",
    "correct what the message names; `kustomize build` or `helm template` says the same",
    "base/README.md",
)
UNUSED = Rule(
    "suppression-unused",
    "config",
    "warning",
    "an exception that no finding needs hides the next one that is none",
    "remove it",
    "scripts/rayops/lint/README.md",
)
EXPIRED = Rule(
    "suppression-expired",
    "config",
    "warning",
    "the day until which the exception was meant to hold is over",
    "mend what it hides, or give it another day and reason",
    "scripts/rayops/lint/README.md",
)
declare(NOT_RENDERED, UNUSED, EXPIRED)


@dataclass(frozen=True)
class Suppressed:
    """A finding that is right to be there, and why."""

    finding: Finding
    reason: str


@dataclass(frozen=True)
class Report:
    """Everything found, sorted; the same for the same input. sources: how many were looked at."""

    findings: tuple[Finding, ...]
    suppressed: tuple[Suppressed, ...]
    sources: int
    fail_on: str

    @property
    def failed(self) -> bool:
        """Whether something remains of the severity from which on the policy says no."""
        if self.fail_on == NEVER:
            return False
        bad = SEVERITIES[: SEVERITIES.index(self.fail_on) + 1]
        return any(finding.severity in bad for finding in self.findings)


def lint(
    sources: Sequence["Source"],
    root: Path,
    config: Config | None = None,
    *,
    whole: bool = True,
    today: datetime.date | None = None,
    keep: bool = False,
) -> Report:
    """Every rule over every source. RayopsError where the configuration names a rule that is not there.

    whole: the sources are all that the repository has, so an exception that nothing needs is told. today: for tests.
    keep: take the findings of the same files from the cache.
    """
    config = config or Config()
    _known(config)
    if keep:
        from rayops.lint.kept import kept

        found = sorted(kept(sources, root, lambda: _found(sources, root)), key=order)
    else:
        found = sorted(_found(sources, root), key=order)
    left, suppressed, used = _judged(found, config, today or datetime.date.today(), _annotations(sources))
    if whole:
        unused = [entry for entry in config.ignore if entry not in used]
        left += [_about(config, entry, UNUSED, "needed by no finding") for entry in unused]
    return Report(tuple(sorted(left, key=order)), tuple(suppressed), len(sources), config.fail_on)


def order(finding: Finding) -> tuple[str, int, str, str, tuple[str, ...], str, str]:
    """By file, line, rule."""
    place = finding.place
    at = (place.file, place.line) if place else (finding.source, 0)
    return (*at, finding.rule.id, finding.obj, finding.path, finding.message, finding.source)


def _found(sources: Sequence["Source"], root: Path) -> Iterator[Finding]:
    contexts: list[Context] = []
    answers, shared = Answers(), dict[Any, Any]()
    for source in sources:
        if source.problem:
            yield Finding(NOT_RENDERED, source.name, (), source.problem, source.name, None, NOT_RENDERED.severity)
        fitting = []
        for resource in source.resources:
            if odd := _odd(resource.obj):
                yield Context(source.name, "", ()).finding(NOT_RENDERED, resource, (), odd)
                continue
            wrong = schema.crd_findings(resource, source.name) if _is_ray(resource.obj) else []
            yield from wrong
            if not any(each.rule is schema.CRD_SCHEMA for each in wrong):
                fitting.append(resource)
                if not wrong and resource.obj["kind"] in KINDS and _is_ray(resource.obj):
                    # KubeRay's decoder takes no unknown field either, and would only say again what is said.
                    answers.about(resource.obj)
        contexts.append(Context(source.name, source.kind, tuple(fitting), root, source.files, answers, shared))
    for context in contexts:
        yield from findings(context)


def _odd(obj: Obj) -> str:
    """Why something is no object of Kubernetes at all; "" where it is one. Rules need not ask again."""
    for key in ("apiVersion", "kind"):
        if not isinstance(obj.get(key), str):
            return f"this is no object: its {key} is no text"
    for key, needed in (("metadata", True), ("spec", False)):
        if not isinstance(obj.get(key), dict) and (needed or obj.get(key) is not None):
            return f"this is no object: its {key} is no mapping"
    return ""


def _is_ray(obj: Obj) -> bool:
    return str(obj.get("apiVersion", "")).startswith("ray.io/") and str(obj.get("kind", "")).startswith("Ray")


class Answers:
    """KubeRay's answers for objects, asked for all of them in one process when the first one is wanted."""

    def __init__(self) -> None:
        self._objects: list[Obj] = []
        self._answers: dict[int, Answer] | None = None

    def about(self, obj: Obj) -> None:
        """An object that KubeRay will be asked about."""
        self._objects.append(obj)

    def __call__(self, obj: Obj) -> "Answer | None":
        """The answer for one of the objects; None for another one."""
        if self._answers is None:
            self._answers = {id(each): answer for each, answer in zip(self._objects, self._asked(), strict=True)}
        return self._answers.get(id(obj))

    def _asked(self) -> list["Answer"]:
        from rayops.kuberay import Answer, ask_each

        asked = ask_each(self._objects)
        return [
            Answer((each.message,), "", (), (), admitted=False) if isinstance(each, RayopsError) else each
            for each in asked
        ]


def _known(config: Config) -> None:
    import difflib

    rules = all_rules()
    for entry in (*config.ignore, *config.severities):
        if entry.rule not in rules:
            near = difflib.get_close_matches(entry.rule, rules, n=1)
            hint = f"is it {near[0]}?" if near else "`rayops lint --rules` lists them"
            raise RayopsError(f"{config.file or NAME}:{entry.line}: no rule is named {entry.rule}", hint=hint)


def _annotations(sources: Iterable["Source"]) -> Callable[[Finding], str]:
    """The reason that an object itself gives: `rayops.io/lint-ignore: "rule-id: reason; another-id: reason"`."""
    given: dict[tuple[str, str], dict[str, str]] = {}
    for source in sources:
        for resource in source.resources:
            meta = resource.obj.get("metadata")
            notes = meta.get("annotations") if isinstance(meta, dict) else None
            text = notes.get(ANNOTATION) if isinstance(notes, dict) else None
            pairs = [part.partition(":") for part in str(text or "").split(";")]
            reasons = {rule.strip(): reason.strip() for rule, _, reason in pairs if reason.strip()}
            if reasons:
                given[source.name, title(resource.obj)] = reasons
    return lambda finding: given.get((finding.source, finding.obj), {}).get(finding.rule.id, "")


def _judged(
    found: Iterable[Finding], config: Config, today: datetime.date, noted: Callable[[Finding], str]
) -> tuple[list[Finding], list[Suppressed], set[Entry]]:
    """What remains, what does not and why, and the entries that were needed."""
    kept: list[Finding] = []
    suppressed: list[Suppressed] = []
    used: set[Entry] = set()
    for each in found:
        finding = _weighed(each, config)
        entries = [entry for entry in config.ignore if entry.takes(finding)]
        used.update(entries)
        valid = [entry.reason for entry in entries if entry.until is None or today <= entry.until]
        if reason := next(iter(valid), "") or noted(finding):
            suppressed.append(Suppressed(finding, reason))
        else:
            kept.append(finding)
    late = [entry for entry in used if entry.until is not None and today > entry.until]
    return kept + [_about(config, entry, EXPIRED, f"over since {entry.until}") for entry in late], suppressed, used


def _weighed(finding: Finding, config: Config) -> Finding:
    severities = [entry.severity for entry in config.severities if entry.takes(finding)]
    return replace(finding, severity=severities[-1]) if severities and severities[-1] else finding


def _about(config: Config, entry: Entry, rule: Rule, said: str) -> Finding:
    from rayops.render.sources import Place

    where = f" in {', '.join(entry.where)}" if entry.where else ""
    message = f"the exception for {entry.rule}{where} is {said}"
    return Finding(rule, config.file, (), message, config.file, Place(config.file, entry.line), rule.severity)
