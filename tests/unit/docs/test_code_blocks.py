"""Commands and manifests in the pages are well formed: nobody should find a missing quote at night."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.unit.docs.markdown_pages import ROOT, pages

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = [page for page in pages() if _BLOCK.search(page.read_text("utf-8"))]


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of a page in one language."""
    return [body for name, body in _BLOCK.findall(page.read_text("utf-8")) if name == language]


@pytest.mark.parametrize("page", PAGES, ids=[page.relative_to(ROOT).as_posix() for page in PAGES])
def test_shell_blocks_parse(page: Path) -> None:
    for body in blocks(page, "bash"):
        parsed = subprocess.run(["bash", "-n"], input=body, text=True, capture_output=True)
        assert parsed.returncode == 0, parsed.stderr


@pytest.mark.parametrize("page", PAGES, ids=[page.relative_to(ROOT).as_posix() for page in PAGES])
def test_manifests_and_patches_parse(page: Path) -> None:
    for body in blocks(page, "yaml"):
        assert yaml.safe_load(body)
    for patch in re.findall(r"-p '(\[.*?\])'", page.read_text("utf-8"), re.DOTALL):
        assert all(operation.keys() >= {"op", "path"} for operation in json.loads(patch))


@pytest.mark.parametrize("page", PAGES, ids=[page.relative_to(ROOT).as_posix() for page in PAGES])
def test_jsonpath_brackets_are_balanced(page: Path) -> None:
    for expression in re.findall(r"jsonpath='([^']*)'", page.read_text("utf-8")):
        assert expression.count("{") == expression.count("}")
        assert expression.count("{range ") == expression.count("{end}")
