"""Results by content: what is the same is found, what is not is not, and nothing in the folder can do harm."""

import json
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from rayops.render.store import ABSENT, Store

RESULT = {"objects": [{"kind": "A"}]}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    root.mkdir()
    (root / "a.yaml").write_text("a: 1\n")
    (root / "b.yaml").write_text("b: 1\n")
    age(root / "a.yaml")
    return root


def age(file: Path) -> None:
    """As if it had been written an hour ago."""
    then = file.stat().st_mtime - 3600
    os.utime(file, (then, then))


def store(tree: Path, program: str = "p") -> Store:
    return Store(tree, program, tree.parent / "cache")


def filled(tree: Path) -> Store:
    kept = store(tree)
    kept.put("over", ["a.yaml", "b.yaml"], ["none.yaml"], RESULT)
    kept.save()
    return store(tree)


def test_the_same_files_have_the_result(tree: Path) -> None:
    hit = filled(tree).get("over")
    assert hit is not None
    assert hit[1] == RESULT
    assert filled(tree).get("other") is None
    assert store(tree, "newer program").get("over") is None


@pytest.mark.parametrize("change", ["a.yaml", "b.yaml", "none.yaml"])
def test_another_content_has_not(tree: Path, change: str) -> None:
    filled(tree)
    (tree / change).write_text("a: 2\n")
    assert store(tree).get("over") is None


def test_a_file_that_goes_has_not(tree: Path) -> None:
    filled(tree)
    (tree / "a.yaml").unlink()
    assert store(tree).get("over") is None
    assert store(tree).digest("a.yaml") == ABSENT


def test_a_file_changed_twice_within_a_tick_is_read(tree: Path) -> None:
    """Its time, size and inode may be as they were."""
    kept = filled(tree)
    before = (tree / "b.yaml").stat()
    with (tree / "b.yaml").open("r+") as file:
        file.write("b: 2\n")
    os.utime(tree / "b.yaml", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert kept.get("over") is None


def test_old_files_are_not_read_again(tree: Path) -> None:
    filled(tree)
    known = store(tree).digest("a.yaml")
    before = (tree / "a.yaml").stat()
    with (tree / "a.yaml").open("r+") as file:
        file.write("a: 2\n")
    os.utime(tree / "a.yaml", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert store(tree).digest("a.yaml") == known, "only time, size and inode were asked for"


def test_going_back_finds_the_older_result(tree: Path) -> None:
    kept = filled(tree)
    (tree / "a.yaml").write_text("a: 22\n")
    kept = store(tree)
    kept.put("over", ["a.yaml", "b.yaml"], ["none.yaml"], {"objects": []})
    (tree / "a.yaml").write_text("a: 1\n")
    hit = store(tree).get("over")
    assert hit is not None
    assert hit[1] == RESULT


def test_another_tree_with_the_same_files_has_it_too(tree: Path, tmp_path: Path) -> None:
    filled(tree)
    twin = tmp_path / "twin"
    twin.mkdir()
    for file in tree.iterdir():
        (twin / file.name).write_bytes(file.read_bytes())
    assert store(twin).get("over") is not None


@pytest.mark.parametrize("junk", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'[{"key": 1}]', b'{"a": 1}', b"[" * 100_000])
def test_a_corrupt_entry_is_none_and_is_written_anew(tree: Path, junk: bytes) -> None:
    filled(tree)
    folder = tree.parent / "cache" / "p"
    for file in folder.iterdir():
        file.write_bytes(junk)
    kept = store(tree)
    hit = kept.get("over")
    assert hit is None
    kept.put("over", ["a.yaml"], [], RESULT)
    kept.save()
    again = store(tree).get("over")
    assert again is not None
    assert again[1] == RESULT


def test_a_folder_that_cannot_be_written_costs_only_time(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    assert filled(tree).get("over") is None


def test_what_belongs_to_a_result(tree: Path) -> None:
    kept = filled(tree)
    hit = kept.get("over")
    assert hit is not None
    assert kept.beside(hit[0], "marks") is None
    kept.keep(hit[0], "marks", {"x": 1})
    assert kept.beside(hit[0], "marks") == {"x": 1}


def write(tree: Path, number: int) -> int:
    bad = 0
    for turn in range(60):
        kept = store(tree)
        hit = kept.get("over")
        bad += hit[1]["objects"] != [{"kind": "A"}] * 2000 if hit else turn > 0
        kept.put("over", ["a.yaml", "b.yaml"], [], {"objects": [{"kind": "A"}] * 2000})
        kept.put(f"over-{number}-{turn}", ["a.yaml"], [], RESULT)
        kept.save()
    return bad


def test_two_processes_at_once_never_see_half_of_an_entry(tree: Path) -> None:
    with ProcessPoolExecutor(2) as pool:
        assert list(pool.map(write, [tree, tree], [1, 2])) == [0, 0]
    folder = tree.parent / "cache" / "p"
    assert not list(folder.glob("*.unfinished"))
    for file in folder.iterdir():
        json.loads(file.read_bytes())
