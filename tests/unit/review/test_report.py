"""Every form of a review: the verdict first, nothing becomes markup, secrets hidden, the length of a comment kept."""

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from rayops.fit import capacity
from rayops.review import Effect
from rayops.review.model import Finding, Inherited, Item, Other, Reason, Review, Spending, by_danger
from rayops.review.report import FORMATS, markdown
from rayops.review.rules import Code
from tests.unit.review.objects import edited, service


def reason(path: str = "$.spec.x", value: Any = "new", effect: Effect = Effect.NEW_CLUSTER) -> Reason:
    return Reason(path, "base/x.yaml:7", "old", value, effect, "why")


def item(name: str = "rag", fields: int = 1, value: Any = "new", effect: Effect = Effect.NEW_CLUSTER) -> Item:
    before = capacity(service())
    after = capacity(edited(service(), "spec rayClusterConfig workerGroupSpecs 1 maxReplicas", 40))
    reasons = tuple(reason(f"$.spec.f{n}", value, effect) for n in range(fields))
    return Item("overlays/prod/rag", "prod", "RayService", "rag", name, effect, "why", reasons,
                before=before, after=after, failures="none expected", revert="new cluster")  # fmt: skip


def review(*items: Item, **more: Any) -> Review:
    return Review("main", "the checkout", tuple(items), **more)


@pytest.mark.parametrize("form", FORMATS)
def test_nothing_is_said_to_change_when_nothing_does(form: str) -> None:
    text = FORMATS[form](review(Item("overlays/dev/rag", "dev", "RayService", "rag", "rag", Effect.NOTHING, "")))
    assert "nothing of ray changes" in text.lower() or form == "json"
    if form == "json":
        assert [each["verdict"] for each in json.loads(text)["items"]] == ["none"]


def test_rows_go_by_danger_and_production_first() -> None:
    effects = [Effect.NOTHING, Effect.SERVE_UPDATE, Effect.NEW_CLUSTER, Effect.REFUSED, Effect.NOT_APPLIED]
    items = [item(str(number), effect=effect) for number, effect in enumerate(effects)]
    assert [each.verdict for each in by_danger(items)] == [
        Code.REJECTED, Code.NEW_CLUSTER, Code.IGNORED, Code.SERVE_IN_PLACE, Code.NONE,
    ]  # fmt: skip


def test_every_effect_has_a_verdict_of_the_issue() -> None:
    assert {str(effect.code) for effect in Effect} == {
        "none", "serve-in-place", "cluster-in-place", "new-cluster", "ignored", "rejected", "recreate-pods", "created",
        "deleted",
    }  # fmt: skip


def test_markdown_has_the_table_first_and_the_fields_folded() -> None:
    page = markdown.report(review(item(fields=3)))
    assert page.startswith(f"{markdown.MARK}\n### rayops review: 1 new cluster\n")
    assert page.index("| **new cluster** | RayService rag/rag") < page.index("<details>")
    assert "$.spec.f0 (base/x.yaml:7) and 2 more" in page.replace("&#95;", "_")
    assert page.count("| `$.spec.f") == 3


@pytest.mark.parametrize("bad", ["</details>", "@everyone", "a|b", "`x`", "[x](http://x)", "a\nb", "<img src=x>"])
def test_what_a_repository_says_stays_text_in_markdown(bad: str) -> None:
    page = markdown.report(
        review(
            item(bad, value=bad),
            others=(Other("overlays/dev", "dev", f"ConfigMap {bad}", "changed", (reason(value=bad),)),),
        )
    )
    outside = re.sub(r"`[^`\n]*`", "", page)
    assert outside.count("</details>") == outside.count("<details")
    assert bad == "</details>" or bad not in outside
    rows = [line for line in page.splitlines() if line.startswith("| **")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {7}


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "rect", "line", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()


@pytest.mark.parametrize("bad", ["</svg>", "<script>x</script>", '"><img src=x>', "&amp;"])
def test_html_stands_alone_and_stays_well_formed(bad: str) -> None:
    page = FORMATS["html"](review(item(bad, value=bad), problems=(bad,), fails=(bad,)))
    parsed = Elements()
    parsed.feed(page)
    assert parsed.open == []
    assert not {"script", "img", "link", "iframe"} & set(parsed.seen)
    assert parsed.addresses == []


def test_the_drawing_has_a_square_for_each_pod() -> None:
    page = FORMATS["html"](review(item()))
    before = page[page.index("<svg") : page.index(">after<")]
    # Head, three CPU workers of which one is always there, two GPU workers of which one is.
    assert before.count("<rect") == 6
    assert before.count("stroke-dasharray") == 3
    assert "… 40" in page[page.index(">after<") :], "forty do not fit"


@pytest.mark.parametrize("form", FORMATS)
def test_data_of_secrets_is_hidden(form: str) -> None:
    other = Other(
        "overlays/dev",
        "dev",
        "Secret x/y",
        "changed",
        (Reason("$.data.password", "", "b2xk", "bmV3", Effect.APPLIED, ""),),
    )
    text = FORMATS[form](review(others=(other,)))
    assert "b2xk" not in text
    assert "bmV3" not in text


@pytest.mark.parametrize(("objects", "fields"), [(3000, 1), (200, 40), (1, 5000), (250, 3)])
def test_a_long_page_ends_honestly_below_the_limit(objects: int, fields: int) -> None:
    one = item(fields=fields, value="v" * 300)
    many = review(*([one] * objects))
    page = markdown.report(many)
    assert len(page) < markdown.LIMIT
    rows = page.count("| **new cluster** |")
    if rows < objects:
        assert f"… {objects - rows} more objects do not fit" in page
    elif page.count("<summary>") < objects:
        assert re.search(r"… \d+ parts? more do not fit", page)
    assert page.count("<details") == page.count("</details>")


@pytest.mark.parametrize("form", FORMATS)
def test_findings_money_and_heirs_are_in_every_form(form: str) -> None:
    finding = Finding(
        "privileged", "error", "overlays/prod/rag", "RayService rag/rag", "runs as root", "x.yaml:3", security=True
    )
    text = FORMATS[form](
        review(
            item(),
            new_findings=(finding,),
            spending=(Spending("prod", "EUR", 10, 900, 500),),
            inherited=(Inherited("base/x.yaml", ("dev", "prod"), 4),),
            fails=("budget: prod",),
        )
    )
    for said in ("runs as root", "900", "500", "base/x.yaml", "budget: prod"):
        assert said in text, said
