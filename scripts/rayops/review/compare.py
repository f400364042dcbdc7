"""Two sides, each rendered: what differs, what it does, what it takes and costs, who inherits it."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rayops.errors import RayopsError
from rayops.fit import Capacity, Cost, Prices, capacity, cost, find_prices
from rayops.fit.capacity import LEVELS, At
from rayops.kuberay import Answer, ask_each, is_ray
from rayops.render import Obj, name_of
from rayops.render.sources import Resource, Source
from rayops.review import lasting, model, operator
from rayops.review.changes import identity
from rayops.review.effects import Code, Effect, Judged, Verdict, of_pair
from rayops.review.inputs import Side, completed, environment_of
from rayops.review.model import Finding, Inherited, Item, Other, Reason, Review, Spending
from rayops.review.paths import json_path

Pair = tuple[Resource | None, Resource | None]
Answers = Callable[[Obj], Answer | RayopsError | None]


def compare(before: Side, after: Side) -> Review:
    """Everything that a change from one side to the other does; each object once, in the smallest source with it."""
    before, after = completed(before, after), completed(after, before)
    groups = list(_paired(before, after))
    ask = _asked([each.obj for _, _, pairs in groups for pair in pairs for each in pair if each is not None])
    prices = find_prices(after.root)
    operators = [operator.operators(each.sources) for each in (before, after)]
    items, others = [], []
    for name, environment, pairs in groups:
        beside = [new.obj for _, new in pairs if new is not None]
        for old, new in pairs:
            verdict = of_pair(old.obj if old else None, new.obj if new else None, ask)
            obj = (new or old).obj  # type: ignore[union-attr]
            was, is_now = (operator.of(each, environment) for each in operators)
            if old and new and obj["kind"] == "RayService" and was and is_now and was.version != is_now.version:
                verdict = operator.upgraded(verdict, name_of(obj), was, is_now)
            if is_ray(obj):
                items.append(_item(name, environment, (old, new), verdict, ask, prices, beside))
            elif verdict:
                others.append(_other(name, environment, (old, new), verdict))
    new_findings, gone_findings = _linted(before, after)
    return Review(
        before.name,
        after.name,
        model.by_danger(items),
        tuple(others),
        tuple(f"{source.name}: {source.problem}" for source in after.sources if source.problem),
        new_findings,
        gone_findings,
        tuple(_spending(items, prices)),
        tuple(_inherited(before, after)),
        len(after.sources),
    )


def _paired(before: Side, after: Side) -> Iterator[tuple[str, str, list[Pair]]]:
    """(source, environment, its objects on both sides). Two single files are one source, whatever their names."""
    old = {source.name: source for source in before.sources}
    new = {source.name: source for source in after.sources}
    if len(old) == len(new) == 1 and {each.kind for each in (*old.values(), *new.values())} == {"manifest"}:
        old = dict(zip(new, old.values(), strict=True))
    seen: set[tuple[str, tuple[str, str, str, str]]] = set()
    # The deepest first: an environment's folder sums up those of its pipelines.
    for name in sorted({*old, *new}, key=lambda name: (environment_of(name), -name.count("/"), name)):
        if name in new and new[name].problem:
            continue
        environment = environment_of(name)
        sides = [_objects(one.get(name), environment, seen) for one in (old, new)]
        seen |= {(environment, key) for side in sides for key in side}
        yield (
            name,
            environment,
            [(sides[0].get(key), sides[1].get(key)) for key in dict.fromkeys([*sides[1], *sides[0]])],
        )


def _objects(
    source: Source | None, environment: str, seen: set[tuple[str, tuple[str, str, str, str]]]
) -> dict[tuple[str, str, str, str], Resource]:
    found = {identity(each.obj): each for each in (source.resources if source else ())}
    return {key: each for key, each in found.items() if (environment, key) not in seen}


def _asked(objects: Sequence[Obj]) -> Answers:
    """KubeRay's answers about all objects of Ray, in one go; of others None."""
    ray = [obj for obj in objects if is_ray(obj)]
    answers = dict(zip(map(id, ray), ask_each(ray), strict=True))
    return lambda obj: answers.get(id(obj))


def _item(
    source: str,
    environment: str,
    pair: Pair,
    verdict: Verdict | None,
    ask: Answers,
    prices: Prices | None,
    beside: Sequence[Obj],
) -> Item:
    old, new = pair
    obj = (new or old).obj  # type: ignore[union-attr]
    meta = obj.get("metadata") or {}
    before, after = (_capacity(each) for each in pair)
    effect = verdict.effect if verdict else Effect.NOTHING
    return Item(
        source,
        environment,
        str(obj["kind"]),
        str(meta.get("namespace") or ""),
        str(meta.get("name") or ""),
        effect,
        verdict.why if verdict else "nothing differs",
        tuple(_reasons(pair, verdict.changes)) if verdict else (),
        verdict.restarts if verdict else (),
        verdict.reconfigures if verdict else (),
        lasting.during(pair, effect, before, after, beside),
        lasting.failures(pair, verdict),
        lasting.revert(pair, verdict, ask),
        before,
        after,
        _cost(before, prices),
        _cost(after, prices),
    )


def _capacity(resource: Resource | None) -> Capacity | None:
    """What it takes; None where it is not there, or has a quantity that is none: then KubeRay's answer says so."""
    try:
        return capacity(resource.obj) if resource else None
    except RayopsError:
        return None


def _cost(found: Capacity | None, prices: Prices | None) -> Cost | None:
    return cost(found, prices) if found and prices else None


def _reasons(pair: Pair, changes: Sequence[Judged]) -> Iterator[Reason]:
    """The gravest first; of what is the same in effect in the order of the object."""
    old, new = pair
    weight = {effect: position for position, effect in enumerate(Effect)}
    for each in sorted(changes, key=lambda each: weight[each.effect]):
        path = each.change.path
        owner = new or old
        place = owner.place_of(path) if owner else None
        yield Reason(
            json_path(path, new.obj if new else None, old.obj if old else None),
            each.place or str(place or ""),
            each.change.old,
            each.change.new,
            each.effect,
            each.why,
        )


def _other(source: str, environment: str, pair: Pair, verdict: Verdict) -> Other:
    change = {Code.CREATED: "created", Code.DELETED: "deleted"}.get(verdict.effect.code, "changed")
    return Other(source, environment, verdict.obj, change, tuple(_reasons(pair, verdict.changes)))


def _linted(before: Side, after: Side) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
    """The findings of `rayops lint` that only one side has; lines may move, so they count without their place."""
    old, new = (_findings(side) for side in (before, after))
    return tuple(_missing(new, old)), tuple(_missing(old, new))


def _findings(side: Side) -> list[Finding]:
    from rayops.lint import config, engine

    settings = config.read(side.root / config.NAME)
    report = engine.lint(side.sources, side.root, settings, whole=False, keep=True)
    return [
        Finding(
            each.rule.id,
            each.severity,
            each.source,
            each.obj,
            each.message,
            str(each.place or ""),
            each.rule.family == "safety",
        )
        for each in report.findings
    ]


def _missing(these: Sequence[Finding], those: Sequence[Finding]) -> Iterator[Finding]:
    known = Counter((each.id, each.obj, each.message) for each in those)
    told: set[tuple[str, str, str]] = set()
    for each in these:
        key = (each.id, each.obj, each.message)
        if not known[key] and key not in told:
            told.add(key)
            yield each


def _spending(items: Sequence[Item], prices: Prices | None) -> Iterator[Spending]:
    """By environment, all its Ray pods at their most; nothing without a table of prices."""
    if prices is None:
        return
    for environment in dict.fromkeys(item.environment for item in items):
        here = [item for item in items if item.environment == environment]
        found = next((found for item in here if (found := prices.budget(item.source))), None)
        level: At = next((each for each in LEVELS if found and each == found[1].at), "max")
        yield Spending(
            environment,
            prices.currency,
            sum(item.cost_before.month(level) for item in here if item.cost_before),
            sum(item.cost_after.month(level) for item in here if item.cost_after),
            found[1].month if found else 0.0,
        )


def _inherited(before: Side, after: Side) -> Iterator[Inherited]:
    """The files that differ, each with the environments whose sources are built from it; the widest first."""
    users: dict[str, set[str]] = {}
    for side in (before, after):
        for source in side.sources:
            for file in source.files:
                users.setdefault(file, set()).add(source.name)
    changed = [file for file in users if _content(before.root / file) != _content(after.root / file)]
    found = [
        Inherited(file, tuple(sorted({environment_of(name) for name in users[file]})), len(users[file]))
        for file in changed
    ]
    yield from sorted(found, key=lambda each: (-len(each.environments), -each.sources, each.file))


def _content(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None
