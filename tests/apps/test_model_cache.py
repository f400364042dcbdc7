"""The model cache against a real HTTP server: whole and right, or not there."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from apps.common import model_cache

CONTENT = bytes(range(256)) * 4096  # 1 MiB
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Store:
    """What the server holds and how it behaves. asked: the Range of each request, "" without one."""

    url: str = ""
    content: bytes = CONTENT
    cut: list[int] = field(default_factory=list)  # of each answer in turn: bytes after which the connection is closed
    statuses: list[int] = field(default_factory=list)  # of each answer in turn; then 200 or 206
    ranges: bool = True
    shifted: bool = False  # answers another part than the one asked for
    asked: list[str] = field(default_factory=list)


def handler(store: Store) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range", "")
            store.asked.append(asked)
            if store.statuses and (status := store.statuses.pop(0)) != 200:
                self.send_error(status)
                return
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and store.ranges else 0
            if start and start >= len(store.content):
                self.send_error(416)
                return
            body = store.content[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            if start:
                self.send_header("Content-Range", f"bytes {start + store.shifted}-{len(store.content)}/*")
            self.end_headers()
            self.wfile.write(body[: store.cut.pop(0)] if store.cut else body)

        def log_message(self, *arguments: object) -> None:
            pass

    return Handler


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(model_cache, "_pause", lambda _attempt: 0.0)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    made = Store()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(made))
    made.url = f"http://127.0.0.1:{server.server_port}/model.bin"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield made
    server.shutdown()
    server.server_close()


@pytest.fixture
def cache(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MODELS", f"# one model\n\n{DIGEST} {store.url} tiny/model.bin\n")
    return tmp_path / "cache"


def fill(cache: Path) -> int:
    return model_cache.main(["--into", str(cache)])


def files(cache: Path) -> list[str]:
    """What a reader of the cache sees: no part and no mark."""
    found = [path.relative_to(cache) for path in cache.rglob("*") if path.is_file()]
    return sorted(str(path) for path in found if not path.parts[0].startswith("."))


def test_right_digest(cache: Path, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert fill(cache) == 0
    assert (cache / "tiny/model.bin").read_bytes() == CONTENT
    assert files(cache) == ["tiny/model.bin"]
    assert capsys.readouterr().out == f"tiny/model.bin: {len(CONTENT)} bytes, digest as listed\n"


def test_wrong_digest_is_refused_and_nothing_kept(
    cache: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    store.content = b"another model"
    assert fill(cache) == model_cache.WRONG
    assert files(cache) == []
    assert not list((cache / ".partial").iterdir())
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: tiny/model.bin: {store.url} has SHA-256")
    assert DIGEST in line


def test_wrong_digest_leaves_the_older_version(cache: Path, store: Store) -> None:
    (cache / "tiny").mkdir(parents=True)
    (cache / "tiny/model.bin").write_bytes(b"older")
    store.content = b"another model"
    assert fill(cache) == model_cache.WRONG
    assert (cache / "tiny/model.bin").read_bytes() == b"older"


def test_an_older_version_is_replaced(cache: Path) -> None:
    (cache / "tiny").mkdir(parents=True)
    (cache / "tiny/model.bin").write_bytes(b"older")
    assert fill(cache) == 0
    assert (cache / "tiny/model.bin").read_bytes() == CONTENT


def test_already_there_asks_nobody_and_reads_nothing(
    cache: Path, store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fill(cache) == 0
    store.asked.clear()
    monkeypatch.setattr(model_cache, "_sha256", lambda _file: pytest.fail("gigabytes are not read at every sync"))
    assert fill(cache) == 0
    assert store.asked == []
    assert capsys.readouterr().out.endswith("tiny/model.bin: already there\n")


def test_put_there_by_hand_is_read_once(cache: Path, store: Store) -> None:
    (cache / "tiny").mkdir(parents=True)
    (cache / "tiny/model.bin").write_bytes(CONTENT)
    assert fill(cache) == 0
    assert store.asked == []
    assert (cache / ".verified/tiny/model.bin").exists()


def test_damaged_afterwards_is_had_again(cache: Path) -> None:
    assert fill(cache) == 0
    (cache / "tiny/model.bin").write_bytes(CONTENT[:-1])
    assert fill(cache) == 0
    assert (cache / "tiny/model.bin").read_bytes() == CONTENT


def test_an_interrupted_download_goes_on_where_it_stopped(cache: Path, store: Store) -> None:
    store.cut = [300_000, 400_000]
    assert fill(cache) == 0
    assert store.asked == ["", "bytes=300000-", "bytes=700000-"]
    assert (cache / "tiny/model.bin").read_bytes() == CONTENT


def test_the_next_run_goes_on_too(cache: Path, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    store.cut = [1000] * model_cache.ATTEMPTS
    assert fill(cache) == model_cache.FAILED
    assert files(cache) == []
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {store.url}: ")
    assert line.endswith(f", {model_cache.ATTEMPTS} times")
    store.asked.clear()
    assert fill(cache) == 0
    assert store.asked == [f"bytes={1000 * model_cache.ATTEMPTS}-"]


def test_a_server_without_ranges_begins_anew(cache: Path, store: Store) -> None:
    store.ranges, store.cut = False, [300_000]
    assert fill(cache) == 0
    assert (cache / "tiny/model.bin").read_bytes() == CONTENT


def test_another_part_than_asked_for_is_not_appended(cache: Path, store: Store) -> None:
    store.shifted, store.cut = True, [300_000]
    assert fill(cache) == 0
    assert store.asked == ["", "bytes=300000-", ""]


def test_what_was_begun_and_does_not_fit_is_had_anew_once(cache: Path, store: Store) -> None:
    (cache / ".partial").mkdir(parents=True)
    (cache / ".partial" / DIGEST).write_bytes(b"of another day")
    assert fill(cache) == 0
    assert store.asked == ["bytes=14-", ""]


def test_a_part_that_is_whole_is_only_checked(cache: Path, store: Store) -> None:
    (cache / ".partial").mkdir(parents=True)
    (cache / ".partial" / DIGEST).write_bytes(CONTENT)
    assert fill(cache) == 0
    assert store.asked == [f"bytes={len(CONTENT)}-"]


def test_a_server_in_trouble_is_asked_again_and_a_missing_file_is_not(cache: Path, store: Store) -> None:
    store.statuses = [503, 429, 200]
    assert fill(cache) == 0
    assert len(store.asked) == 3
    store.asked.clear()
    (cache / "tiny/model.bin").unlink()
    store.statuses = [404]
    assert fill(cache) == model_cache.WRONG
    assert len(store.asked) == 1


GOOD = f"{DIGEST} https://models.example.com/a a"


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "the list of models is empty"),
        ("# nothing", "the list of models is empty"),
        (f"{GOOD} b", "line 1 of the list: 4 words"),
        (f"# x\n{GOOD}\n{GOOD}", "line 3 of the list: a stands there twice"),
        (GOOD.replace(DIGEST, "abc"), "line 1 of the list: 'abc' is no SHA-256"),
        (GOOD.replace(DIGEST, DIGEST.upper()), "is no SHA-256"),
        (GOOD.replace("https", "file"), "is no http:// or https:// address"),
        (GOOD.replace("https://models.example.com/a", "https:///a"), "is no http:// or https:// address"),
        (GOOD[:-1] + "/etc/passwd", "must be a path below the folder"),
        (GOOD[:-1] + "../a", "must be a path below the folder"),
        (GOOD[:-1] + "a/../../b", "must be a path below the folder"),
        (GOOD[:-1] + ".verified/a", "must be a path below the folder"),
        (GOOD[:-1] + ".", "must be a path below the folder"),
    ],
)
def test_a_wrong_list_is_one_line(
    text: str, cause: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODELS", text)
    assert fill(tmp_path) == model_cache.WRONG
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert cause in line


def test_a_list_may_be_a_file(cache: Path, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = tmp_path / "models.txt"
    listed.write_text(f"{DIGEST} {store.url} a\n")
    assert model_cache.main(["--into", str(cache), "--list", str(listed)]) == 0
    assert files(cache) == ["a"]
    assert model_cache.main(["--into", str(cache), "--list", str(tmp_path / "gone")]) == model_cache.FAILED
    assert len(capsys.readouterr().err.splitlines()) == 1
