"""Manifests stay small enough to be read: the house's budgets."""

import statistics
from collections import Counter
from pathlib import Path

import pytest
import yaml

from rayops.paths import ROOT


def files(*folders: str) -> list[Path]:
    found = [file for folder in folders for file in sorted((ROOT / folder).rglob("*.yaml"))]
    return [file for file in found if "charts" not in file.parts]


def too_long(chosen: list[Path], most: int) -> list[str]:
    lengths = [(file, len(file.read_text().splitlines())) for file in chosen]
    return [f"{file.relative_to(ROOT)}: {lines} lines, at most {most}" for file, lines in lengths if lines > most]


def test_patches_have_at_most_20_lines() -> None:
    assert not too_long([file for file in files("base", "overlays") if file.parent.name == "patches"], 20)


def lengths_of_patches(*folders: str) -> dict[str, int]:
    """Lines of each patch by its place: files of a folder `patches`, and patches written into a kustomization."""
    chosen = [file for file in files(*folders) if file.parent.name == "patches"]
    found = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in chosen}
    for file in [file for file in files(*folders) if file.name == "kustomization.yaml"]:
        inline = [entry["patch"] for entry in yaml.safe_load(file.read_text()).get("patches", []) if "patch" in entry]
        found |= {f"{file.relative_to(ROOT)}#{number}": len(text.splitlines()) for number, text in enumerate(inline)}
    return found


def test_budget_of_an_environment_patch_is_10_lines_in_the_middle_20_at_most(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lengths = lengths_of_patches("overlays", "base/components")
    longest = max(lengths, key=lambda name: lengths[name])
    middle = statistics.median(lengths.values())
    with capsys.disabled():
        print(f"\n{len(lengths)} patches: median {middle:g} lines, longest {lengths[longest]} ({longest})")
    assert middle <= 10
    assert lengths[longest] <= 20


def test_kustomizations_have_at_most_30_lines() -> None:
    kustomizations = [file for file in files("base", "overlays", "apps") if file.name == "kustomization.yaml"]
    assert kustomizations
    assert not too_long(kustomizations, 30)


def test_base_manifests_have_at_most_120_lines() -> None:
    assert not too_long([file for file in files("base") if file.parts[-2] != "dashboards"], 120)


def test_at_most_a_tenth_of_the_files_are_twins() -> None:
    counted = Counter(file.read_bytes() for file in files("base", "overlays", "apps"))
    twins = sum(count - 1 for count in counted.values())
    assert twins <= 0.1 * counted.total()


def test_one_kind_a_file_named_by_kind() -> None:
    for file in files("base/raycluster", "base/rayservice", "base/rayjob", "base/components", "base/platform"):
        if file.parent.name in {"patches", "replacements"} or file.name == "kustomization.yaml":
            continue
        (manifest,) = yaml.safe_load_all(file.read_text())
        assert file.stem.split(".")[-1] == manifest["kind"].lower(), file


def test_every_replacement_file_is_used() -> None:
    replacements = [file for file in files("base") if file.parent.name == "replacements"]
    assert replacements
    for file in replacements:
        assert f"replacements/{file.name}" in (file.parents[1] / "kustomization.yaml").read_text(), file


def test_sizing_has_no_number_that_nothing_reads(pipeline: Path) -> None:
    """A missing number fails the build; a superfluous one would fail nothing but the reader."""
    names = [line.split("=")[0] for line in (ROOT / pipeline / "sizing.env").read_text().splitlines() if "=" in line]
    names = [name for name in names if not name.startswith("#")]
    used = "".join(file.read_text() for file in files("base"))
    assert not [name for name in names if f"data.{name}}}" not in used]
    assert len(names) == len(set(names))
