"""The page: the verdict first, nothing in it becomes markup, never longer than a comment may be."""

import re

import pytest

from rayops.review import Change, Effect, Judged, Verdict
from rayops.review.markdown import LIMIT, Reviewed, report


def verdict(name: str = "RayService rag/rag", fields: int = 1, value: object = "x", effect: Effect = Effect.NEW_CLUSTER) -> Verdict:  # noqa: E501  # fmt: skip
    found = tuple(Judged(Change(name, ("spec", f"f{n}"), 1, value), effect, "why") for n in range(fields))
    return Verdict(name, effect, "why", found, "old + new need 2 CPU")


def test_nothing_is_said_to_change_when_nothing_does() -> None:
    assert report([Reviewed("overlays/dev/rag")], "main") == "### rayops review: nothing changes against `main`\n"


def test_the_table_comes_first_and_the_fields_are_folded() -> None:
    page = report([Reviewed("overlays/dev/rag", (verdict(fields=3),))], "main")
    row, details = page.index("| `overlays/dev/rag` |"), page.index("<details>")
    assert row < details
    assert "| **new cluster** | spec.f0 and 2 more; why; old + new need 2 CPU |" in page
    assert page.count("| `spec.f") == 3
    assert page.startswith("### rayops review: 1 object in 1 overlay against `main`")


def test_an_overlay_that_does_not_render_is_said_first() -> None:
    page = report([Reviewed("overlays/dev/rag", problem="no such | file")], "main")
    assert "**Not rendered: 1 overlay.**" in page
    assert "**does not render** | no such &#124; file |" in page


@pytest.mark.parametrize("bad", ["</details>", "@everyone", "a|b", "`x`", "[x](http://x)", "a\nb", "<img src=x>"])
def test_what_an_overlay_says_stays_text(bad: str) -> None:
    page = report([Reviewed("overlays/dev/rag", (verdict(f"ConfigMap {bad}", value=bad),))], "main")
    outside = re.sub(r"`[^`\n]*`", "", page)
    assert (bad in outside) is (bad == "</details>")
    assert outside.count("</details>") == 1
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5}


def test_data_of_secrets_is_hidden() -> None:
    change = Change("Secret x/y", ("data", "password"), "b2xk", "bmV3")
    found = Verdict("Secret x/y", Effect.APPLIED, "", (Judged(change, Effect.APPLIED, ""),))
    page = report([Reviewed("overlays/dev/rag", (found,))], "main")
    assert "b2xk" not in page
    assert "bmV3" not in page
    assert page.count("(hidden)") == 2


@pytest.mark.parametrize(("objects", "fields"), [(3000, 1), (200, 40), (1, 5000), (250, 3)])
def test_a_long_page_ends_honestly_below_the_limit(objects: int, fields: int) -> None:
    many = tuple(verdict(f"RayService ns-{n}/{'n' * 40}", fields, "v" * 300) for n in range(objects))
    page = report([Reviewed("overlays/dev", many)], "main")
    assert len(page) < LIMIT
    rows = page.count("| **new cluster** |")
    if rows < objects:
        assert f"… {objects - rows} more rows do not fit" in page
    shown = page.count("<details>")
    if shown < objects:
        assert f"… the fields of {objects - shown} objects do not fit" in page
    assert page.count("<details>") == page.count("</details>")
    assert "nothing was asked of a cluster" in page
