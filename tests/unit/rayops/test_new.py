"""The texts of a new pipeline and a new environment, and that a failure leaves nothing behind."""

from pathlib import Path

import pytest

from rayops.errors import RayopsError
from rayops.new import environment, pipeline
from rayops.new.work import Work
from rayops.paths import ROOT


def test_what_the_template_says_of_itself_stands_there() -> None:
    text = "".join(file.read_text("utf-8") for file in (ROOT / "apps/hello").glob("*.*"))
    assert [old for old in pipeline.OF_THE_TEMPLATE if old not in text] == []


@pytest.mark.parametrize(
    ("text", "file", "expected"),
    [
        ("from apps.hello.app import HelloArgs", "x.py", "from apps.word_count.app import WordCountArgs"),
        ('served("hello")', "x.py", 'served("word-count")'),
        ("def hello(served: X) -> Served:", "x.py", "def word_count(served: X) -> Served:"),
        ("- name: hello\n  path: apps.hello.app:x", "x.yaml", "- name: word-count\n  path: apps.word_count.app:x"),
        ("`overlays/local/hello`, `Hello.` is Breton", "x.md", "`overlays/local/word-count`, `Hello.` is Breton"),
        ("tests/apps/hello", "x.md", "tests/apps/word_count"),
    ],
)  # fmt: skip
def test_names_in_code(text: str, file: str, expected: str) -> None:
    assert pipeline.of_code(text, Path(file), "word-count") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("resources: [hello, rag]", "resources: [hello, kit, rag]"),
        ("resources: [platform, a, hello]", "resources: [platform, a, hello, kit]"),
        ("resources: [platform, hello, rag]", "resources: [platform, hello, kit, rag]"),
        ("resources: [rag]\nnames: [a]", "resources: [rag]\nnames: [a]"),
        ("list:\n- hello\n- rag\n", "list:\n- hello\n- kit\n- rag\n"),
    ],
)
def test_a_list_gets_the_name(text: str, expected: str) -> None:
    assert pipeline.in_list(text, "kit") == expected


def test_documents_about_the_template_are_copied_without_the_head_of_the_file() -> None:
    text = "# About all.\nname: hello\npath: x/hello\n---\nname: rag\n"
    assert pipeline.in_documents(text, "kit") == f"{text}---\nname: kit\npath: x/kit\n"


def test_node_ports_are_the_next_free_ones_and_digests_none(tmp_path: Path) -> None:
    sizing = tmp_path / "local/hello/sizing.env"
    for name, ports in (("hello", (30080, 30081)), ("rag", (30082, 30084))):
        (tmp_path / "local" / name).mkdir(parents=True)
        text = f"a=1\nserveNodePort={ports[0]}\ndashboardNodePort={ports[1]}\n"
        (tmp_path / "local" / name / "sizing.env").write_text(text)
    new = pipeline.of_overlay(sizing.read_text(), sizing, "kit")
    assert new == "a=1\nserveNodePort=30083\ndashboardNodePort=30085\n"
    digest = f"sha256:{64 * 'a'}"
    text = f"images:\n- {{name: x/y, digest: {digest}}}\nresources: [../../../apps/hello]\n"
    made = pipeline.of_overlay(text, tmp_path / "kustomization.yaml", "word-count")
    assert made == text.replace(digest, f"sha256:{64 * '0'}").replace("apps/hello", "apps/word_count")


def test_no_free_node_port_is_one_line(tmp_path: Path) -> None:
    sizing = tmp_path / "local/hello/sizing.env"
    sizing.parent.mkdir(parents=True)
    sizing.write_text("".join(f"p{port}NodePort={port}\n" for port in range(30080, 30100)))
    with pytest.raises(RayopsError, match="overlays/local: no node port from 30080 to 30099 is free"):
        pipeline.of_overlay(sizing.read_text(), sizing, "kit")


@pytest.mark.parametrize(
    ("source", "text", "expected"),
    [
        ("staging", "environment=staging # overlays/staging", "environment=qa # overlays/qa"),
        ("staging", "https://rag.staging.example.com", "https://rag.qa.example.com"),
        ("staging", "staging/rag/auth", "qa/rag/auth"),
        ("prod", "base/profiles/production, prod-x", "base/profiles/production, qa-x"),
        ("local", "config.kubernetes.io/local-config, local/pipeline:dev, overlays/local/rag",
         "config.kubernetes.io/local-config, local/pipeline:dev, overlays/qa/rag"),
        ("dev", "newTag: dev, /dev/shm, overlays/dev/rag", "newTag: dev, /dev/shm, overlays/qa/rag"),
    ],
)  # fmt: skip
def test_names_of_an_environment(source: str, text: str, expected: str) -> None:
    assert environment.renamed(text, source, "qa") == expected


def test_rules_of_the_source_get_a_copy() -> None:
    text = "# head\nrules:\n- path: ^dev/x\n  key: dev\n- path: ^prod/x\n  key: prod"
    assert environment.with_rule(text, "prod", "qa") == f"{text}\n- path: ^qa/x\n  key: qa\n"
    assert environment.with_rule(text, "staging", "qa") == text


def test_a_failure_leaves_everything_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x.txt").write_text("1")
    (tmp_path / "a/picture").write_bytes(b"\xff\xfe")
    (tmp_path / "y.txt").write_text("2")
    with pytest.raises(RayopsError, match=r"no kustomization\.yaml"):
        _fail(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "y.txt"]
    assert (tmp_path / "y.txt").read_text() == "2"


def _fail(tmp_path: Path) -> None:
    with Work(tmp_path) as work:
        work.copy(tmp_path / "a", tmp_path / "b", lambda text, _: text + "!")
        assert (tmp_path / "b/x.txt").read_text() == "1!"
        assert (tmp_path / "b/picture").read_bytes() == b"\xff\xfe"
        work.change(tmp_path / "y.txt", "3")
        work.write(tmp_path / "z.txt", "4")
        assert work.told() == ["+ b/", "+ z.txt", "~ y.txt"]
        work.finish([("dev/hello", "dev/kit")])
