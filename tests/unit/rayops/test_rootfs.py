"""Debian root file systems as images."""

import shutil
from pathlib import Path

import pytest

from rayops.cluster import rootfs
from rayops.errors import RayopsError
from tests.unit.rayops.programs import Recorder, write_program


@pytest.fixture
def no_image(recorder: Recorder) -> Recorder:
    recorder.fail("docker", "image", "inspect")
    return recorder


def test_an_image_that_the_engine_has_is_not_made_again(recorder: Recorder) -> None:
    assert rootfs.ensure("python-base", ["bash"]).startswith("local/python-base:")
    assert not recorder.of("mmdebstrap")


def test_an_image_is_made_from_exactly_these_packages(no_image: Recorder, bin_folder: Path, cache: Path) -> None:
    write_program(bin_folder, "mmdebstrap", "")
    reference = rootfs.ensure("python-base", ["bash", "wget"])
    made = no_image.one("mmdebstrap")
    assert "--include=bash,wget" in made.words
    assert no_image.one("docker", "import").words[2:] == [made.words[-1], reference]
    assert not no_image.of("apt-get")
    assert list(cache.iterdir()) == []


def test_the_maker_is_installed_where_it_is_missing(no_image: Recorder, bin_folder: Path, cache: Path) -> None:
    rootfs.ensure("python-base", ["bash"])
    assert no_image.one("apt-get", "install").has("mmdebstrap")


def test_a_cache_that_is_not_there_yet_is_made(no_image: Recorder, bin_folder: Path, cache: Path) -> None:
    shutil.rmtree(cache)
    write_program(bin_folder, "mmdebstrap", "")
    rootfs.ensure("python-base", ["bash"])
    assert no_image.of("docker", "import")


def test_other_packages_make_another_image(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {rootfs.ensure("a", ["bash"]), rootfs.ensure("a", ["wget"]), rootfs.ensure("b", ["bash"])}
    monkeypatch.setattr(rootfs, "SUITE", "trixie")
    assert len(names | {rootfs.ensure("a", ["bash"])}) == 4


def test_a_failure_goes_on_with_its_cause(no_image: Recorder, bin_folder: Path, cache: Path) -> None:
    write_program(bin_folder, "mmdebstrap", "")
    no_image.fail("mmdebstrap", message="mmdebstrap failed: E: cannot reach the mirror")
    with pytest.raises(RayopsError, match="cannot reach the mirror"):
        rootfs.ensure("a", ["bash"])
    assert not no_image.of("docker", "import")
