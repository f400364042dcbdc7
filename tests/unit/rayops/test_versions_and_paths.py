"""Pins, hashes and the cache folder."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rayops import paths, versions
from rayops.errors import RayopsError
from rayops.paths import content_hash


@pytest.fixture
def pins_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    file = tmp_path / "versions.env"
    monkeypatch.setattr(versions, "FILE", file)
    versions.pins.cache_clear()
    yield file
    versions.pins.cache_clear()


def test_pins_are_read_and_comments_are_not(pins_file: Path) -> None:
    pins_file.write_text("# a comment\n\nRAY_VERSION=2.60.0\n  IMAGE=host:5000/a=b  \n")
    assert versions.pins() == {"RAY_VERSION": "2.60.0", "IMAGE": "host:5000/a=b"}


@pytest.mark.parametrize("line", ["RAY_VERSION", "=1", "A B=1", "RAY_VERSION=", "2X=1", "export A=1"])
def test_a_line_that_is_no_pin_is_named_by_file_and_number(pins_file: Path, line: str) -> None:
    pins_file.write_text(f"A=1\n# comment\n{line}\n")
    with pytest.raises(RayopsError, match=r"^versions\.env:3: ") as caught:
        versions.pins()
    assert line in caught.value.message


def test_a_pin_that_is_missing_is_named_with_the_way_out(pins_file: Path) -> None:
    pins_file.write_text("A=1\n")
    with pytest.raises(RayopsError, match=r"versions\.env has no B") as caught:
        versions.pin("B")
    assert caught.value.hint == "add a line B=VERSION"


def test_the_pins_of_this_repository_are_read() -> None:
    assert versions.pin("KUBERNETES_VERSION").count(".") == 2


def tree(folder: Path, **files: str) -> Path:
    for name, content in files.items():
        file = folder / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return folder


def test_the_hash_is_short_and_the_same_for_the_same(tmp_path: Path) -> None:
    one, two = tree(tmp_path / "1/t", a="x", sub__b="y"), tree(tmp_path / "2/t", sub__b="y", a="x")
    assert content_hash(one, "s") == content_hash(two, "s")
    assert len(content_hash(one)) == 12


@pytest.mark.parametrize(
    "files", [{"a": "z", "sub__b": "y"}, {"c": "x", "sub__b": "y"}, {"a": "x", "other__b": "y"}, {"a": "x"}]
)
def test_the_hash_changes_with_content_and_with_name(tmp_path: Path, files: dict[str, str]) -> None:
    before = tree(tmp_path / "1/t", a="x", sub__b="y")
    assert content_hash(before) != content_hash(tree(tmp_path / "2/t", **files))


def test_the_hash_of_a_file_changes_with_content_and_with_name(tmp_path: Path) -> None:
    tree(tmp_path, a="x", b="x", c="y")
    assert len({content_hash(tmp_path / name) for name in "abc"}) == 3


def test_the_hash_does_not_change_with_the_time_of_a_file_or_with_byte_code(tmp_path: Path) -> None:
    folder = tree(tmp_path / "t", a="x")
    before = content_hash(folder)
    os.utime(folder / "a", (1, 1))
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "a.pyc").write_text("z")
    assert content_hash(folder) == before


def test_strings_are_hashed_one_by_one() -> None:
    assert len({content_hash("ab", "c"), content_hash("a", "bc"), content_hash("abc"), content_hash("c", "ab")}) == 4


def test_a_checkout_has_a_name_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    here = paths.checkout_id()
    monkeypatch.setattr(paths, "ROOT", Path("/elsewhere"))
    assert len(here) == 6
    assert paths.checkout_id() not in ("", here)


def cache_of(value: str, folder: Path) -> Path:
    environment = {**os.environ, "RAYOPS_CACHE": value, "PYTHONPATH": str(paths.ROOT / "scripts")}
    ask = [sys.executable, "-c", "from rayops.paths import CACHE; print(CACHE)"]
    return Path(
        subprocess.run(ask, env=environment, cwd=folder, capture_output=True, text=True, check=True).stdout[:-1]
    )


def test_the_cache_lies_where_the_environment_says(tmp_path: Path) -> None:
    assert cache_of(str(tmp_path / "there"), tmp_path) == tmp_path / "there"


def test_a_relative_cache_is_made_absolute_because_programs_run_in_other_folders(tmp_path: Path) -> None:
    assert cache_of("there", tmp_path) == tmp_path / "there"


def test_an_empty_cache_variable_counts_as_none(tmp_path: Path) -> None:
    assert cache_of("", tmp_path) == paths.ROOT / ".cache"
