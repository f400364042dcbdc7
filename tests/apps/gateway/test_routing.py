"""Who is asked: shares, sessions that stay, reloads, the order of fallbacks; and what a table of routes must be."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from apps.common.errors import PipelineError
from apps.gateway.routing import Allowed, Table, choose
from apps.gateway.settings import IngressSettings, Route
from tests.apps.gateway.backend import route, target
from tests.benchmarks.gateway_split import interval

ALL = Allowed(frozenset({"*"}))
SESSIONS = [f"user-{number}" for number in range(10_000)]
URL = "http://127.0.0.1:1"


def seeded(seed: int = 1) -> random.Random:
    return random.Random(seed)  # noqa: S311


def table(*routes: dict[str, Any]) -> Table:
    return Table(IngressSettings.model_validate({"routes": routes}).routes)


def split(**weights: float) -> Route:
    (found,) = table(route("m", *(target(name, URL, weight) for name, weight in weights.items()))).routes
    return found


def chosen(given: Route, rng: random.Random | None = None) -> dict[str, str]:
    return {session: choose(given, session, rng or seeded()).name for session in SESSIONS}


def test_random_requests_and_sessions_are_split_by_weight() -> None:
    given, rng = split(a=0.95, b=0.05), seeded(3)
    least, most = interval(0.05, len(SESSIONS))
    assert least <= sum(choose(given, None, rng).name == "b" for _ in SESSIONS) <= most
    assert least <= list(chosen(given).values()).count("b") <= most


def test_a_session_never_flips() -> None:
    given = split(a=0.5, b=0.3, c=0.2)
    assert chosen(given) == chosen(given, seeded(99))
    assert chosen(given) == chosen(split(c=0.2, a=0.5, b=0.3)), "the order of targets says nothing"


def test_a_reload_moves_only_the_sessions_that_it_must() -> None:
    before, after = chosen(split(a=0.95, b=0.05)), chosen(split(a=0.9, b=0.1))
    moved = {(before[session], after[session]) for session in SESSIONS if before[session] != after[session]}
    assert moved == {("a", "b")}
    added = chosen(split(a=0.475, b=0.475, c=0.05))
    halves = chosen(split(a=0.5, b=0.5))
    assert {added[session] for session in SESSIONS if halves[session] != added[session]} == {"c"}


def test_other_models_give_the_same_session_other_luck() -> None:
    one = table(route("m", target("a", URL, 0.5), target("b", URL, 0.5))).routes[0]
    other = table(route("n", target("a", URL, 0.5), target("b", URL, 0.5))).routes[0]
    alike = sum(choose(one, each, seeded()).name == choose(other, each, seeded()).name for each in SESSIONS)
    assert interval(0.5, len(SESSIONS))[0] <= alike <= interval(0.5, len(SESSIONS))[1]


def test_a_weight_of_nothing_is_never_chosen() -> None:
    given = split(a=0.0, b=1.0)
    assert set(chosen(given).values()) == {"b"}
    assert {choose(given, None, seeded(seed)).name for seed in range(200)} == {"b"}


@settings(max_examples=100, deadline=None)
@given(st.text(), st.lists(st.floats(0, 1), min_size=1, max_size=5).filter(lambda weights: sum(weights) > 0.1))
def test_any_session_and_any_weights_lead_to_a_target_with_a_share(session: str, weights: list[float]) -> None:
    total = sum(weights)
    given = split(**{f"t{number}": weight / total for number, weight in enumerate(weights)})
    assert choose(given, session, seeded()).weight > 0 or len(weights) == 1


def test_aliases_and_keys() -> None:
    found = table(route("m", target("a", URL), aliases=["x"]), route("n", target("b", URL), kind="embeddings"))
    assert found.find("x", "chat", ALL) is found.find("m", None, ALL) is found.routes[0]
    only = Allowed(frozenset({"n"}))
    for name, kind, allowed in (("m", "chat", only), ("z", None, ALL), ("x", "chat", only)):
        with pytest.raises(PipelineError) as missing:
            found.find(name, kind, allowed)  # type: ignore[arg-type]
        assert missing.value.kind == "model_not_found"
    with pytest.raises(PipelineError, match="'n' is for embeddings, not for chat"):
        found.find("n", "chat", ALL)
    assert [each.model for each in found.listed(only)] == ["n"]


def test_a_plan_is_the_choice_and_the_fallbacks_choices_nobody_twice() -> None:
    found = table(
        route("m", target("a", URL), fallback=["n", "o"]),
        route("n", target("b", URL), fallback=["m"]),
        route("o", target("a", URL)),
    )
    plan = found.plan(found.routes[0], None, seeded())
    assert [(each.target.name, each.fallback) for each in plan] == [("a", False), ("b", True)]


@pytest.mark.parametrize(
    ("routes", "field", "cause"),
    [
        ([route("m", target("a", URL, 0.5))], "routes.0.targets", "sum to 0.5, not to 1"),
        ([route("m", target("a", URL, 0.5), target("b", URL, 0.6))], "routes.0.targets", "sum to 1.1"),
        ([route("m", target("a", URL, 0.5), target("a", URL, 0.5))], "routes.0.targets", "two targets are called 'a'"),
        ([route("m", target("a", URL, 1.5))], "routes.0.targets.0.weight", "less than or equal to 1"),
        ([route("m")], "routes.0.targets", "at least 1 item"),
        ([route("m", target("a", "ftp://x"))], "routes.0.targets.0.url", "match pattern"),
        ([route("m", target("a", URL, wieght=1))], "routes.0.targets.0.wieght", "Extra inputs"),
        ([route("m", target("a", URL)), route("m", target("a", URL))], "routes", "answer to 'm'"),
        ([route("m", target("a", URL), aliases=["m"])], "routes", "answer to 'm'"),
        ([route("m", target("a", URL), fallback=["m"])], "routes", "0.fallback.0: 'm' falls back to itself"),
        ([route("m", target("a", URL), fallback=["z"])], "routes", "0.fallback.0: 'z' is no model"),
        (
            [route("m", target("a", URL), fallback=["n"]), route("n", target("a", URL), kind="embeddings")],
            "routes",
            "0.fallback.0: 'n' is for embeddings, 'm' for chat",
        ),
        ([route("m", target("a", URL), kind="images")], "routes.0.kind", "'chat' or 'embeddings'"),
        ([route("m", target("a", URL), shadow={**target("s", URL), "share": 0.1})], "routes.0.shadow.weight", "Extra"),
        ([route("m", target("a", URL), timeout_s=0)], "routes.0.timeout_s", "greater than 0"),
        ([route("m m", target("a", URL))], "routes.0.model", "match pattern"),
    ],
)
def test_wrong_routes_are_refused_with_the_name_of_the_field(routes: Any, field: str, cause: str) -> None:
    with pytest.raises(ValidationError) as refused:
        IngressSettings.model_validate({"routes": routes})
    error = refused.value.errors()[0]
    assert ".".join(map(str, error["loc"])) == field
    assert cause in error["msg"]
