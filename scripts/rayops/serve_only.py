"""The default for a machine without any container engine: the same serve.yaml on a local Ray, no Kubernetes.

The local Ray has a folder, a process group and free ports of its own: no other Ray on this machine is touched.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rayops import proc
from rayops.errors import RayopsError
from rayops.kube.objects import gist
from rayops.kube.probe import probe
from rayops.kube.wait import Timeout, eventually
from rayops.paths import CACHE, ROOT, content_hash
from rayops.render.app import app_serve_file, read_serve_file

STATE = CACHE / "serve-only.json"
TIMINGS = CACHE / "serve-only-timings.json"
LOG = CACHE / "logs" / "serve-only.log"
RECIPE = ROOT / "apps" / "images" / "pipeline"
PREPARED = {"PIPELINE_MODELS": CACHE / "models", "PIPELINE_DATA": CACHE / "data"}
# The environment of base/components/high-throughput, so that the local Ray behaves as the cluster does.
TUNED = {"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1", "RAY_SERVE_HAPROXY_NBTHREAD": "1"}
# Where an application of a Serve config finds another one of the same config: at the proxy beside it.
OWN_ADDRESS = "http://127.0.0.1:8000/"
# Sockets lie below this folder, and their paths may not be long.
RAY_FOLDER = Path(f"/tmp/rayops-{content_hash(str(ROOT))}")  # noqa: S108
LOGICAL_CPUS = 4
STOP_TIMEOUT_S = 20.0
OBJECT_STORE_BYTES = 100_000_000


@dataclass(frozen=True)
class LocalRay:
    """A local Ray that this checkout started. pid: leader of its process group; ports on 127.0.0.1."""

    pid: int
    dashboard_port: int
    serve_port: int
    pipeline: str

    @property
    def dashboard(self) -> str:
        """Address of the dashboard and its REST API."""
        return f"http://127.0.0.1:{self.dashboard_port}"

    @property
    def url(self) -> str:
        """Address of the pipeline."""
        return f"http://127.0.0.1:{self.serve_port}"


def up(pipeline: str, environment: str) -> int:
    """Start the local Ray, deploy the pipeline, ask its sample question and print the answer."""
    from rayops.pipeline import first_answer, screen
    from rayops.steps import Steps

    config = serve_config(pipeline, environment)
    check_one_node(config, environment)
    steps = Steps()
    try:
        with steps.step("prerequisites") as step:
            step.say("packages installed") if _install() else step.skip("packages are there")
        with steps.step("models") as step:
            _prepare()
            step.say("embedding model and corpus index")
        with steps.step("local Ray") as step:
            ray = _running(pipeline)
            if ray is None:
                ray = _start(pipeline)
            else:
                step.skip(f"runs on {ray.dashboard}")
        with steps.step("application") as step:
            _deploy(ray, config)
            step.say("RUNNING")
        with steps.step("first answer") as step:
            answer = first_answer(pipeline, ray.url)
            step.say(f"{answer.milliseconds:.0f} ms")
    finally:
        steps.write(TIMINGS)
    steps.console.print(f"\n[green]up[/green] in {steps.total():.1f} s, without Kubernetes\n")
    text = screen(answer, ray.url, ray.dashboard, None, f"{Path(sys.executable).with_name('rayops')} down")
    steps.console.print(text, markup=False)
    return 0


def serve_config(pipeline: str, environment: str) -> dict[str, Any]:
    """The Serve config of the overlay: of the app's folder among its resources (apps/NAME, or a variant below it).

    Without gRPC: Serve opens its port on every address of the machine, and has no option for that (Ray 2.60).
    """
    config = read_serve_file(app_serve_file(pipeline, environment, ROOT))
    config.pop("grpc_options", None)
    return config


def check_one_node(config: dict[str, Any], environment: str) -> None:
    """RayopsError where replicas are kept apart on several workers: a local Ray is one, they would never all start."""
    for application in config.get("applications") or []:
        for deployment in application.get("deployments") or []:
            if "max_replicas_per_node" in deployment:
                apart = f"{deployment['name']} wants its replicas on several workers (max_replicas_per_node)"
                message = f"overlays/{environment} is not for one machine: {apart}"
                raise RayopsError(message, hint="rayops up --serve-only --env local")


def status() -> str:
    """One line about the local Ray; empty when none runs."""
    ray = _load()
    if ray is None or not _alive(ray.pid):
        return ""
    answer = probe(f"{ray.dashboard}/api/serve/applications/")
    applications = answer.body.get("applications", {}) if answer.ok else {}
    states = (
        ", ".join(f"{name} {app['status']}" for name, app in applications.items()) or answer.error or "no application"
    )
    return f"{states}  {ray.url}"


def stop() -> bool:
    """Stop the local Ray of this checkout. Returns False when none runs."""
    ray = _load()
    STATE.unlink(missing_ok=True)
    if ray is None or not _alive(ray.pid):
        return False
    os.kill(ray.pid, signal.SIGTERM)  # `ray start --block` ends its processes in order
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while _alive(ray.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    _kill_the_rest()
    return True


def _kill_the_rest() -> None:
    """End the processes that outlived their leader: those that name our Ray's folder."""
    for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(RAY_FOLDER) in cmdline.read_text(errors="replace"):
                os.kill(int(cmdline.parent.name), signal.SIGKILL)


def _install() -> bool:
    """The image's packages into this environment; False when they are there."""
    locks = [RECIPE / "requirements.txt", RECIPE / "model.txt"]
    stamp = Path(sys.prefix) / f".pipeline-{content_hash(*locks)}"
    if stamp.exists():
        return False
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps"]
    for lock in locks:
        proc.run([*pip, "-r", lock], log=LOG)
    stamp.touch()
    return True


def _prepare() -> None:
    folders = ["--models", PREPARED["PIPELINE_MODELS"], "--data", PREPARED["PIPELINE_DATA"], "--corpus", ROOT]
    proc.run([sys.executable, "-m", "apps.common.prepare", *map(str, folders)], cwd=ROOT, log=LOG)


def _load() -> LocalRay | None:
    try:
        return LocalRay(**json.loads(STATE.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _running(pipeline: str) -> LocalRay | None:
    ray = _load()
    if ray is not None and _alive(ray.pid) and ray.pipeline == pipeline:
        return ray
    stop()
    return None


def _start(pipeline: str) -> LocalRay:
    gcs, dashboard, serve, client, metrics, stats = _free_ports(6)
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--disable-usage-stats"]
    command += [f"--port={gcs}", f"--dashboard-port={dashboard}", f"--ray-client-server-port={client}"]
    command += [f"--temp-dir={RAY_FOLDER}", "--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1"]
    command += [f"--num-cpus={LOGICAL_CPUS}", f"--object-store-memory={OBJECT_STORE_BYTES}"]
    ports = {"RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics), "RAY_SERVE_HAPROXY_STATS_PORT": str(stats)}
    environment = {
        **os.environ,
        **TUNED,
        **ports,
        # It listens on this machine only. Ray 2.60 asks for a token as soon as one lies in the home folder.
        "RAY_AUTH_MODE": "disabled",
        **{name: str(path) for name, path in PREPARED.items()},
        "PYTHONPATH": str(ROOT),
    }
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with LOG.open("a") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment, cwd=ROOT, start_new_session=True
        )
    ray = LocalRay(process.pid, dashboard, serve, pipeline)
    STATE.write_text(json.dumps(ray.__dict__))
    eventually(
        lambda: (process.poll(), probe(f"{ray.dashboard}/api/serve/applications/")),
        lambda seen: seen[1],
        lambda answer: answer.ok,
        Timeout.SHORT,
        "local Ray answers",
        give_up=lambda _: f"ray start ended; see {LOG}" if process.poll() is not None else "",
    )
    return ray


def _deploy(ray: LocalRay, config: dict[str, Any]) -> None:
    body = {**at_port(config, ray.serve_port), "http_options": {"host": "127.0.0.1", "port": ray.serve_port}}
    answer = _put(f"{ray.dashboard}/api/serve/applications/", body)
    if answer:
        raise RayopsError(f"Ray refused the Serve config: {answer}", evidence=LOG)
    eventually(
        lambda: probe(f"{ray.dashboard}/api/serve/applications/").body,
        _states,
        lambda states: bool(states) and all(state == "RUNNING" for state, _ in states.values()),
        Timeout.MEDIUM,
        "every application is RUNNING",
        give_up=_failed,
    )


def at_port(config: dict[str, Any], port: int) -> dict[str, Any]:
    """The config with the port of this local Serve in the addresses of its own applications: 8000 may be taken here."""
    text = json.dumps(config).replace(OWN_ADDRESS, f"http://127.0.0.1:{port}/")
    changed: dict[str, Any] = json.loads(text)
    return changed


def _states(body: Any) -> dict[str, tuple[str, str]]:
    applications = body.get("applications", {}) if isinstance(body, dict) else {}
    return {name: (app["status"], _why(app)) for name, app in applications.items()}


def _why(app: dict[str, Any]) -> str:
    """What Serve says of an application, and of its deployments that do not run: the cause of a failed constructor."""
    broken = {
        name: gist(found.get("message"))
        for name, found in app.get("deployments", {}).items()
        if found.get("status") in ("DEPLOY_FAILED", "UNHEALTHY")
    }
    return "; ".join([gist(app.get("message")), *(f"{name}: {text}" for name, text in broken.items())])


def _failed(states: dict[str, tuple[str, str]]) -> str:
    return "; ".join(f"{name}: {message}" for name, (state, message) in states.items() if state == "DEPLOY_FAILED")


def _put(url: str, body: dict[str, Any]) -> str:
    """PUT JSON; the error text, or "" when it was accepted."""
    import urllib.error
    import urllib.request

    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"}, method="PUT")  # noqa: S310
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30):
            return ""
    except urllib.error.HTTPError as error:
        return error.read().decode(errors="replace")[:400]
    except OSError as error:
        return str(error)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _alive(pid: int) -> bool:
    try:
        return str(RAY_FOLDER) in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False
