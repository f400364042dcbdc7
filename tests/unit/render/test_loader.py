"""YAML of strangers: objects or one clear line, in bounded time and memory, whatever the bytes are."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayops.errors import RayopsError
from rayops.render import loader

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
FAULTS = {
    "a: [1\nb: 2\n": "x.yaml:2: no YAML: ",
    "ok: 1\n---\n- 1\n": "x.yaml:3: a mapping is wanted here, not a list",
    "---\njust text\n": "x.yaml:2: a mapping is wanted here, not text",
    "42": "x.yaml:1: a mapping is wanted here, not a number",
    "a: 1\n\tb: 2": "x.yaml:2: no YAML: ",
    "a: \x00": "x.yaml:1: no YAML: ",
    "? [a]\n: 1\n": "x.yaml:1: no YAML: ",
    "a: *nowhere": "x.yaml:1: no YAML: ",
    "a: !!python/object:os.system x": "x.yaml:1: no YAML: ",
    "a: !!int x": "x.yaml:1: no YAML: ",
    "kind: List\nitems: [1]": "x.yaml:1: items of a List are objects",
    "[" * 5000: "x.yaml:1: nested more than 100 deep",
    "- " * 5000: "x.yaml:1: nested more than 100 deep",
    "{" + '"a":{' * 5000: "x.yaml:1: nested more than 100 deep",
    "\n".join(" " * depth + "a:" for depth in range(300)): "x.yaml:101: nested more than 100 deep",
    LAUGHS: "its aliases stand for more than 1000000 values",
    "a: &a [*a]": "x.yaml:1: nested too deeply",
    "a: " + "1" * 5000: "x.yaml:1: no YAML: ",
}


@pytest.mark.parametrize("text", FAULTS, ids=lambda text: text[:30])
def test_a_fault_is_one_line_with_file_and_line(text: str) -> None:
    wanted = FAULTS[text]
    with pytest.raises(RayopsError) as caught:
        loader.load_all(text, "x.yaml")
    assert wanted in caught.value.message
    assert caught.value.message.startswith("x.yaml:")
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "objects"),
    [
        ("", []),
        ("# nothing\n---\n---\n{}\n", []),
        ("kind: A\n---\nkind: B\n...\n", [{"kind": "A"}, {"kind": "B"}]),
        ('{"kind": "A", "n": 1}', [{"kind": "A", "n": 1}]),
        ("{kind: A, n: 1}", [{"kind": "A", "n": 1}]),
        ('{"kind": "List", "items": [{"kind": "A"}, {"kind": "B"}]}', [{"kind": "A"}, {"kind": "B"}]),
        ("a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2}", [{"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1, "e": 2}}]),
        ("on: 2026-01-02T03:04:05Z\n8080: x\n", [{"true": "2026-01-02T03:04:05Z", "8080": "x"}]),
        ("a: !!binary aGk=\n", [{"a": "b'hi'"}]),
    ],
)
def test_objects(text: str, objects: list[object]) -> None:
    found = loader.load_all(text, "x.yaml")
    assert found == objects
    json.dumps(found)


def test_bytes_and_sizes_of_files(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(RayopsError, match=r"^x\.yaml:2: no text in UTF-8$"):
        loader.load_file(file, "x.yaml")
    file.write_bytes("\ufeffkind: A\n".encode())
    assert loader.load_file(file) == [{"kind": "A"}]
    with file.open("wb") as sparse:
        sparse.truncate(10 * 2**20)
    with pytest.raises(RayopsError, match=r"^x\.yaml:1: 10\.0 MiB are too large for a manifest, at most 8 MiB$"):
        loader.load_file(file, "x.yaml")
    with pytest.raises(RayopsError, match="No such file"):
        loader.load_file(tmp_path / "nowhere")
    with pytest.raises(RayopsError, match="Is a directory"):
        loader.load_file(tmp_path)


@given(st.binary(max_size=400) | st.text(max_size=400).map(lambda text: text.encode("utf-8", "surrogatepass")))
@settings(deadline=None)
def test_any_bytes_are_objects_or_one_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_bytes(content)
    taken(file)


MARKS = st.sampled_from(
    [*"-:?[]{},&*!|>'\"%@` \n\t#", "- ", ": ", "\n  ", "---\n", "&a ", "*a", "<<: *a", "!!", "a", "0x", "~"]
)


@given(st.lists(MARKS, max_size=60).map("".join))
@settings(deadline=None)
def test_any_yaml_marks_are_objects_or_one_error(tmp_path_factory: pytest.TempPathFactory, content: str) -> None:
    file = tmp_path_factory.getbasetemp() / "marks.yaml"
    file.write_text(content)
    taken(file)


def taken(file: Path) -> None:
    objects, told = [], "any.yaml:"
    try:
        objects = loader.load_file(file, "any.yaml")
    except RayopsError as error:
        told = error.message
    assert told.startswith("any.yaml:")
    assert len(told.splitlines()) == 1
    assert all(isinstance(obj, dict) for obj in objects)


@pytest.mark.parametrize("text", [LAUGHS, "[" * 4_000_000, "{a: " * 1_000_000, "- " * 2_000_000, '"' + "x" * 4_000_000])
def test_memory_is_bounded(text: str, tmp_path: Path) -> None:
    """In a process of its own with 600 MiB; a stack that runs over would end it without a word."""
    file = tmp_path / "x.yaml"
    file.write_text(text)
    code = (
        f"from pathlib import Path; from rayops.render import loader; loader.load_file(Path({str(file)!r}), 'x.yaml')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (600 * 2**20, 600 * 2**20)),
    )
    assert done.stderr.splitlines()[-1].startswith("rayops.errors.RayopsError: x.yaml:"), done.stderr[-300:]
