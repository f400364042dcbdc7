"""The parts between markers: found where they stand, filled, and nothing else touched."""

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rayops.models import blocks
from rayops.models.blocks import Block, WrongBlockError
from tests.unit.models.conftest import EMBEDDINGS, GATEWAY, SMALL

BOTH = GATEWAY + SMALL


def test_each_block_knows_whose_it_is() -> None:
    found = blocks.find(BOTH, "serve.yaml")
    assert [(each.application, each.import_path, each.holder) for each in found] == [
        ("gateway", "apps.gateway.app:build_app", "user_config"),
        ("llm", "apps.llm.app:build_app", "args"),
    ]
    assert [each.indent for each in found] == [" " * 6, " " * 4]


def test_also_when_the_name_comes_last() -> None:
    text = "applications:\n- args:\n    # rayops models: begin\n    # rayops models: end\n    a: 1\n  name: x\n"
    assert blocks.find(text, "x") == [Block(2, 3, "    ", "x", "", "args")]


def test_filled_and_filled_again_is_the_same() -> None:
    content = {"models": [{"id": "a", "aliases": [], "engine_args": {"n": 1}}]}
    once = blocks.put(BOTH, [(blocks.find(BOTH, "x")[1], content)])
    assert yaml.safe_load(once)["applications"][1]["args"] == {**content, "engine": {"kind": "stand-in"}}
    assert blocks.put(once, [(blocks.find(once, "x")[1], content)]) == once
    outside = once.splitlines()
    for line in BOTH.splitlines():
        assert line in outside
    assert "    - id: a\n      aliases: []\n      engine_args: {n: 1}\n" in once


def test_two_blocks_of_a_file_at_once() -> None:
    first, second = blocks.find(BOTH, "x")
    filled = blocks.put(BOTH, [(first, {"routes": []}), (second, {"models": []})])
    gateway, llm = yaml.safe_load(filled)["applications"]
    assert gateway["deployments"][0]["user_config"] == {"revision": "1", "routes": []}
    assert llm["args"] == {"models": [], "engine": {"kind": "stand-in"}}


def test_texts_that_yaml_would_read_otherwise_keep_their_quotes() -> None:
    content = {"models": [{"id": "on", "source": "0" * 40, "aliases": ["1.0", "a: b"]}]}
    filled = blocks.put(EMBEDDINGS, [(blocks.find(EMBEDDINGS, "x")[0], content)])
    assert yaml.safe_load(filled)["applications"][0]["args"] == content


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        (EMBEDDINGS.replace("    # rayops models: end\n", ""), 6, "begins and does not end"),
        (EMBEDDINGS.replace("    # rayops models: begin\n", ""), 6, "rayops models: end out of turn"),
        (EMBEDDINGS.replace("models: end", "models: begin"), 7, "rayops models: begin out of turn"),
        ("# rayops models: begin\n# rayops models: end\na: 1\n", 1, "is in no args and no user_config"),
        (EMBEDDINGS.replace("args:", "runtime_env:"), 6, "is in no args and no user_config"),
        (EMBEDDINGS + "  x: [\n", 9, "no YAML:"),
    ],
)
def test_markers_out_of_place(text: str, line: int, what: str) -> None:
    with pytest.raises(WrongBlockError) as error:
        blocks.find(text, "serve.yaml")
    assert str(error.value).startswith(f"serve.yaml:{line}: {what}")


def test_a_file_without_markers_has_no_blocks() -> None:
    assert blocks.find("applications: []\n", "x") == []


@pytest.mark.parametrize("page", ["nothing", blocks.PAGE_BEGIN, f"{blocks.PAGE_END}{blocks.PAGE_BEGIN}"])
def test_a_page_without_a_place(page: str) -> None:
    with pytest.raises(WrongBlockError, match="has no place for the table"):
        blocks.put_page(page, "x", "README.md")


CONTENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=150),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=20), CONTENTS, max_size=4), st.sampled_from(["", "    ", "      "]))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_whatever_is_written_is_read_as_it_was(content: dict[str, Any], indent: str) -> None:
    written = "\n".join(f"{indent}{line}" for line in blocks.dump(content, indent))
    assert yaml.safe_load(written) == content


def test_what_does_not_fit_a_line_gets_several() -> None:
    target = {"name": "n" * 40, "url": f"http://{'h' * 40}:8000/v1", "model": "m" * 40}
    lines = blocks.dump({"targets": [target], "short": {"a": 1}, "nothing": []}, " " * 6)
    assert lines[:3] == ["targets:", f"- name: {target['name']}", f"  url: {target['url']}"]
    assert lines[-2:] == ["short: {a: 1}", "nothing: []"]
