"""rayops image: what it asks of Docker, and what it prints for the next step."""

from pathlib import Path

import pytest

from rayops import cli
from rayops.cluster import pipeline_image
from tests.unit.rayops.programs import Recorder

DIGEST = "sha256:" + 64 * "a"


@pytest.fixture(autouse=True)
def built(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    monkeypatch.setattr(
        pipeline_image, "ensure", lambda *, offline, name: (f"local/{name}:{'off' if offline else 'on'}", "")
    )
    recorder.reply("inspect", say=f"other/pipeline@{DIGEST}\nghcr.io/x/pipeline@{DIGEST}\n")
    recorder.reply("run", say='{"bomFormat": "CycloneDX"}')
    return recorder


def test_the_digest_of_what_was_pushed_is_the_last_line(built: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["image", "--push", "ghcr.io/x/pipeline:dev"]) == 0
    assert capsys.readouterr().out == f"ghcr.io/x/pipeline@{DIGEST}\n"
    assert built.one("docker", "tag").words[-2:] == ["local/pipeline:on", "ghcr.io/x/pipeline:dev"]
    assert built.one("docker", "push").words[-1] == "ghcr.io/x/pipeline:dev"


def test_without_a_push_it_is_the_image_here(
    built: Recorder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["image", "--offline", "--sbom", str(tmp_path / "sbom.json")]) == 0
    assert capsys.readouterr().out == "local/pipeline:off\n"
    assert "CycloneDX" in (tmp_path / "sbom.json").read_text()
    assert not built.of("docker", "push")
    assert built.one("docker", "run").has("--network", "none")


def test_a_push_without_a_tag_or_a_digest_is_one_line(built: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["image", "--push", "ghcr.io/x/pipeline"]) == 1
    assert "has no tag" in capsys.readouterr().err
    assert cli.main(["image", "--push", "ghcr.io/y/pipeline:dev"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "names no digest" in line


def test_the_image_of_the_gpu_workers_is_asked_for_by_name(built: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["image", "pipeline-gpu", "--offline"]) == 0
    assert capsys.readouterr().out == "local/pipeline-gpu:off\n"
