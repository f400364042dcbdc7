"""A small API server on loopback: enough of discovery, objects and logs to see what our client really sends."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import yaml

from rayops.kube import Kube

KINDS = {
    "/api/v1": [("pods", "Pod", True), ("services", "Service", True), ("events", "Event", True),
                ("configmaps", "ConfigMap", True), ("nodes", "Node", False), ("namespaces", "Namespace", False)],
    "/apis/ray.io/v1": [("rayservices", "RayService", True), ("rayclusters", "RayCluster", True),
                        ("rayjobs", "RayJob", True)],
    "/apis/discovery.k8s.io/v1": [("endpointslices", "EndpointSlice", True)],
}  # fmt: skip


@dataclass
class Call:
    """One request as it came in."""

    method: str
    path: str
    query: dict[str, str]
    content_type: str
    body: Any


@dataclass
class FakeApi:
    """Objects by path, texts by path, statuses by path; and every call of an object or text."""

    objects: dict[str, Any] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    refuse: dict[str, tuple[int, str]] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    url: str = ""

    def kubeconfig(self, folder: Path, *, server: str = "") -> Path:
        cluster = {"name": "fake", "cluster": {"server": server or self.url}}
        context = {"name": "kind-fake", "context": {"cluster": "fake", "user": "me"}}
        config = {"clusters": [cluster], "contexts": [context], "users": [{"name": "me", "user": {"token": "t"}}]}
        file = folder / "kubeconfig"
        file.write_text(
            yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "current-context": "kind-fake", **config})
        )
        return file

    def answer(self, call: Call) -> tuple[int, bytes]:
        if known := self._discovery(call.path):
            return 200, json.dumps(known).encode()
        self.calls.append(call)
        if call.path in self.refuse:
            code, message = self.refuse[call.path]
            return code, json.dumps({"kind": "Status", "message": message}).encode()
        if call.method in {"PATCH", "POST"}:
            return 200, json.dumps(call.body).encode()
        if call.path in self.texts:
            return 200, self.texts[call.path].encode()
        if call.path in self.objects:
            found = self.objects[call.path]
            return 200, json.dumps(found() if callable(found) else found).encode()
        if call.path.rsplit("/", 1)[1] in {plural for kinds in KINDS.values() for plural, _, _ in kinds}:
            return 200, json.dumps({"kind": "List", "items": []}).encode()
        return 404, json.dumps({"kind": "Status", "message": f"{call.path} not found"}).encode()

    def _discovery(self, path: str) -> Any:
        if path == "/version":
            return {"gitVersion": "v1.34.4", "major": "1", "minor": "34"}
        if path == "/apis":
            groups = [p.split("/")[2] for p in KINDS if p.startswith("/apis")]
            versions = {g: {"groupVersion": f"{g}/v1", "version": "v1"} for g in groups}
            return {"kind": "APIGroupList", "groups": [
                {"name": g, "versions": [versions[g]], "preferredVersion": versions[g]} for g in groups]}  # fmt: skip
        if path not in KINDS:
            return None
        return {"kind": "APIResourceList", "groupVersion": path.split("/", 2)[2].removeprefix("apis/"), "resources": [
            {"name": n, "kind": k, "namespaced": ns, "singularName": "", "verbs": ["get", "list", "patch"]}
            for n, k, ns in KINDS[path]]}  # fmt: skip


def _handler(api: FakeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 65536  # one packet per answer, else the client waits 40 ms for the second

        def _serve(self) -> None:
            parts = urlsplit(self.path)
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.loads(raw) if raw else None
            call = Call(
                self.command, parts.path, dict(parse_qsl(parts.query)), self.headers.get("Content-Type", ""), body
            )
            status, payload = api.answer(call)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_PATCH = do_POST = do_DELETE = _serve  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    return Handler


class _QuietServer(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A client that closes an idle connection is no news."""


@pytest.fixture
def api() -> Iterator[FakeApi]:
    api = FakeApi()
    server = _QuietServer(("127.0.0.1", 0), _handler(api))
    api.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield api
    server.shutdown()
    server.server_close()


@pytest.fixture
def kube(api: FakeApi, tmp_path: Path) -> Kube:
    return Kube.connect(api.kubeconfig(tmp_path))
