"""The pipeline image: what goes in, when it is built, and wheels that are complete or not there."""

from pathlib import Path

import pytest

from rayops.cluster import node_image, pipeline_image, rootfs
from rayops.errors import RayopsError
from rayops.versions import pin
from tests.unit.rayops.programs import Recorder

FILES = {"apps/rag/app.py": "1", "apps/rag/serve.yaml": "2", "apps/images/pipeline/Dockerfile": "FROM x",
         "apps/images/pipeline/requirements.txt": "a==1", "README.md": "text", "secret.py": "x"}  # fmt: skip
GLOBS = "# what goes in\napps/**/*.py\napps/**/*.yaml\n\napps/images/pipeline/*\nREADME.md\n"


@pytest.fixture
def root(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of a few files."""
    folder = tmp_path / "repository"
    for name, content in {**FILES, "apps/images/pipeline/context.txt": GLOBS}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    monkeypatch.setattr(pipeline_image, "ROOT", folder)
    monkeypatch.setattr(pipeline_image, "RECIPE", folder / "apps" / "images" / "pipeline")
    monkeypatch.setattr(rootfs, "ensure", lambda *_: "local/python-base:1")
    return folder


@pytest.fixture
def engine(recorder: Recorder, root: Path) -> set[str]:
    """The images that the engine has; a download leaves one wheel."""
    images: set[str] = set()

    def inspect(words: list[str]) -> str:
        if words[-1] not in images:
            raise RayopsError("No such image")
        return "123456789\n"

    def build(words: list[str]) -> str:
        images.add(words[words.index("-t") + 1])
        return ""

    def download(words: list[str]) -> str:
        folder = Path(words[words.index("-d") + 1])
        folder.mkdir(exist_ok=True)
        (folder / "a.whl").write_text("wheel")
        return ""

    recorder.reply("docker", "image", "inspect", say=inspect)
    recorder.reply("docker", "build", say=build)
    recorder.reply("pip", "download", say=download)
    return images


def test_the_context_is_what_the_globs_name_sorted_and_nothing_else(root: Path) -> None:
    (root / "apps/__pycache__").mkdir()
    (root / "apps/__pycache__/x.py").touch()
    wanted = sorted([*(set(FILES) - {"secret.py"}), "apps/images/pipeline/context.txt"])
    assert [str(file.relative_to(root)) for file in pipeline_image.context_files()] == wanted


def test_a_glob_without_a_match_is_named_with_its_file(root: Path) -> None:
    (pipeline_image.RECIPE / "context.txt").write_text(f"{GLOBS}docs/*.md\n")
    with pytest.raises(RayopsError, match=r"^apps/images/pipeline/context\.txt: docs/\*\.md matches no file$"):
        pipeline_image.context_files()


@pytest.mark.parametrize("name", ["pipeline", "pipeline-gpu"])
def test_the_context_of_this_repository_is_complete(name: str) -> None:
    files = pipeline_image.context_files(name)
    assert len(files) > 10
    recipe = pipeline_image.RECIPE.with_name(name)
    assert {recipe / "Dockerfile", recipe / "requirements.txt"} <= set(files)


def test_each_image_has_its_own_lock_base_and_tag(
    recorder: Recorder, engine: set[str], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = root / "apps/images/pipeline-gpu"
    recipe.mkdir()
    (recipe / "Dockerfile").write_text("FROM y")
    (recipe / "requirements.txt").write_text("vllm==1")
    (recipe / "context.txt").write_text(
        "apps/rag/*\napps/images/pipeline-gpu/Dockerfile\napps/images/*/requirements.txt\n"
    )
    bases: list[tuple[str, list[str]]] = []

    def ensure(name: str, packages: list[str]) -> str:
        bases.append((name, packages))
        return f"local/{name}:1"

    monkeypatch.setattr(rootfs, "ensure", ensure)
    reference, _ = pipeline_image.ensure(offline=True, name="pipeline-gpu")
    assert reference.startswith("local/pipeline-gpu:")
    assert bases == [("python-gpu-base", rootfs.PYTHON_GPU_PACKAGES)]
    build = recorder.one("docker", "build")
    assert build.after("-f").endswith("apps/images/pipeline-gpu/Dockerfile")
    assert recorder.of("docker", "tag")[-1].words[2:] == [reference, "local/pipeline-gpu:dev"]
    locks = {Path(call.after("-r")).relative_to(root).as_posix() for call in recorder.of("pip", "download")}
    assert locks == {"apps/images/pipeline-gpu/requirements.txt", "apps/images/pipeline/requirements.txt"}


def test_an_image_is_built_once_and_tagged(recorder: Recorder, engine: set[str]) -> None:
    reference, done = pipeline_image.ensure(offline=True)
    assert done == f"{reference} built, 123 MB"
    assert pipeline_image.ensure(offline=True) == (reference, "")
    recorder.one("docker", "build")
    assert recorder.of("docker", "tag")[-1].words[2:] == [reference, "local/pipeline:dev"]


def test_the_build_needs_no_network_all_is_in_its_context(recorder: Recorder, engine: set[str]) -> None:
    seen: list[str] = []

    def build(words: list[str]) -> str:
        context = Path(words[-1])
        seen.extend(str(file.relative_to(context)) for file in context.rglob("*") if file.is_file())
        assert Path(words[words.index("-f") + 1]).is_relative_to(context)
        engine.add(words[words.index("-t") + 1])
        return ""

    recorder.reply("docker", "build", say=build)
    pipeline_image.ensure(offline=True)
    assert {"wheels/a.whl", "apps/rag/app.py", "README.md", "apps/images/pipeline/Dockerfile"} <= set(seen)
    assert "secret.py" not in seen
    assert recorder.one("docker", "build").has("--build-arg", "BASE_IMAGE=local/python-base:1")


@pytest.mark.parametrize(("answers", "offline"), [(True, False), (True, True), (False, False)])
def test_the_base_is_the_pinned_one_where_its_registry_answers(
    recorder: Recorder, engine: set[str], monkeypatch: pytest.MonkeyPatch, answers: bool, offline: bool
) -> None:
    monkeypatch.setattr(node_image, "registry_answers", lambda _: answers)
    pipeline_image.ensure(offline=offline)
    base = pin("PYTHON_BASE_IMAGE") if answers and not offline else "local/python-base:1"
    assert recorder.one("docker", "build").has("--build-arg", f"BASE_IMAGE={base}")


@pytest.mark.parametrize("name", ["apps/rag/app.py", "README.md", "apps/images/pipeline/Dockerfile"])
def test_another_file_is_another_image(engine: set[str], root: Path, name: str) -> None:
    before = pipeline_image.ensure(offline=True)[0]
    (root / name).write_text("changed")
    assert pipeline_image.ensure(offline=True)[0] != before


def test_a_file_in_another_folder_is_another_image(engine: set[str], root: Path) -> None:
    before = pipeline_image.ensure(offline=True)[0]
    (root / "apps/rag").rename(root / "apps/rag2")
    assert pipeline_image.ensure(offline=True)[0] != before


def test_wheels_are_downloaded_once_by_hash_for_the_python_of_the_image(recorder: Recorder, engine: set[str]) -> None:
    folder = pipeline_image.wheels()
    assert pipeline_image.wheels() == folder
    assert [file.name for file in folder.iterdir()] == ["a.whl"]
    call = recorder.one("pip", "download")
    assert {"--require-hashes", f"--python-version={pin('PYTHON_VERSION')}", "--only-binary=:all:"} <= set(call.words)
    assert call.after("-r").endswith("requirements.txt")


def test_a_download_that_broke_is_not_taken_for_complete(recorder: Recorder, engine: set[str], root: Path) -> None:
    (pipeline_image.RECIPE / "second.txt").write_text("b==1")
    recorder.fail("pip", "download", str(pipeline_image.RECIPE / "second.txt"), message="no route to the index")
    with pytest.raises(RayopsError, match="no route to the index"):
        pipeline_image.wheels()
    recorder.replies.pop()
    before = len(recorder.of("pip", "download"))
    assert pipeline_image.wheels().is_dir()
    assert len(recorder.of("pip", "download")) == before + 2


def test_another_lock_file_is_another_folder_of_wheels(engine: set[str], root: Path) -> None:
    before = pipeline_image.wheels()
    (pipeline_image.RECIPE / "requirements.txt").write_text("a==2")
    assert pipeline_image.wheels() != before
