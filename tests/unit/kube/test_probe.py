import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from rayops.kube.probe import probe


class Echo(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer(200, self.path.encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(422 if self.path == "/bad" else 200, body)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_a_payload_is_posted_as_json(url: str) -> None:
    answer = probe(f"{url}/ask", {"question": "why?"})
    assert (answer.ok, answer.status, answer.body) == (True, 200, {"question": "why?"})
    assert 0 < answer.ms < 5000


def test_without_payload_it_is_a_get_and_text_stays_text(url: str) -> None:
    assert probe(f"{url}/healthz?x=1").body == "/healthz?x=1"


def test_a_refusal_is_an_answer_that_is_not_ok(url: str) -> None:
    answer = probe(f"{url}/bad", {})
    assert (answer.ok, answer.status) == (False, 422)


def test_no_answer_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    answer = probe("http://127.0.0.1:9/ask", {}, timeout_s=1)
    assert answer.status == 0
    assert json.dumps(answer.error).startswith('"ConnectionRefusedError')
