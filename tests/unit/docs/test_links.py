"""Every link in a Markdown file leads to a file and, where it names one, to a heading that exists."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.unit.docs.markdown_pages import ROOT, headings, links, pages, prose

PAGES = pages()


def problem(page: Path, target: str) -> str | None:
    """Return what is wrong with a link of a page, None for a good one; outside addresses are not called."""
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        return None if parts.scheme in {"https", "http", "mailto"} else f"unknown scheme: {target}"
    if parts.path.startswith("/"):
        return f"absolute path: {target}"
    file = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if not file.exists():
        return f"no such file: {target}"
    if ROOT not in (file, *file.parents):
        return f"outside the repository: {target}"
    if parts.fragment and parts.fragment not in {heading.anchor for heading in headings(file)}:
        return f"no such heading: {target}"
    return None


@pytest.mark.parametrize("page", PAGES, ids=[page.relative_to(ROOT).as_posix() for page in PAGES])
def test_links_resolve(page: Path) -> None:
    assert [found for target in links(page) if (found := problem(page, target))] == []


@pytest.mark.parametrize("page", PAGES, ids=[page.relative_to(ROOT).as_posix() for page in PAGES])
def test_a_page_has_one_title_and_closed_code_blocks(page: Path) -> None:
    assert [heading.level for heading in headings(page)].count(1) == 1
    assert sum(line.lstrip().startswith("```") for line in page.read_text("utf-8").splitlines()) % 2 == 0
    assert prose(page).strip()


@pytest.mark.parametrize("target", ["missing.md", "README.md#no-such-heading", "/etc/hosts", "ftp://example.org/a"])
def test_a_bad_link_is_found(target: str) -> None:
    assert problem(ROOT / "README.md", target) is not None


def test_a_link_in_code_is_not_a_link(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text('# A\n\n`[x](y)`\n\n```text\n[x](z)\n```\n\n[b](c.md#d "title") <img src="e.svg">\n', "utf-8")
    assert links(page) == ["c.md#d", "e.svg"]
