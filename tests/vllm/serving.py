"""A Ray of its own on this machine, with free ports, and Serve configs put to it as KubeRay does."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx

ROOT = Path(__file__).resolve().parents[2]
LOGICAL_CPUS = 8
OBJECT_STORE_BYTES = 200_000_000
START_TIMEOUT_S, DEPLOY_TIMEOUT_S, STOP_TIMEOUT_S = 300.0, 900.0, 60.0
# As base/components/high-throughput has it in every cluster.
TUNED = {"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1", "RAY_SERVE_HAPROXY_NBTHREAD": "1"}
# Small and quiet: 1 GiB is the least that vLLM takes for its cache on CPUs; no model hub, no telemetry.
VLLM = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
}
Seen = TypeVar("Seen")


def eventually(look: Callable[[], Seen], good: Callable[[Seen], bool], timeout_s: float, what: str) -> Seen:
    """Look until it is good; return what was seen then."""
    end = time.monotonic() + timeout_s
    while True:
        seen = look()
        if good(seen):
            return seen
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {timeout_s:g} s; last seen: {seen}")
        time.sleep(0.5)


class LocalServe:
    """A head of Ray in a process group of its own.

    Args:
        folder: for its files; short, because sockets lie below it.
        log: where what it prints goes.
    """

    def __init__(self, folder: Path, log: Path):
        self.folder = folder
        # One for all calls: making it costs more than a call.
        self._http = httpx.Client(timeout=60, trust_env=False)
        # On a busy machine its parts may not find each other within the 30 s that Ray gives them: once more, then.
        for last in (False, False, True):
            self._start(log)
            try:
                eventually(self._answers, bool, START_TIMEOUT_S, f"Ray answers; see {log}")
                return
            except RuntimeError:
                if last:
                    raise

    def _start(self, log: Path) -> None:
        gcs, dashboard, serve, client, metrics, stats, agent = _free_ports(7)
        self.url = f"http://127.0.0.1:{serve}"
        self._dashboard = f"http://127.0.0.1:{dashboard}/api/serve/applications/"
        self._serve_port = serve
        command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--disable-usage-stats"]
        command += [f"--port={gcs}", f"--dashboard-port={dashboard}", f"--ray-client-server-port={client}"]
        command += [f"--dashboard-agent-listen-port={agent}", f"--temp-dir={self.folder}"]
        command += ["--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1", "--num-gpus=0"]
        command += [f"--num-cpus={LOGICAL_CPUS}", f"--object-store-memory={OBJECT_STORE_BYTES}"]
        ports = {"RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics), "RAY_SERVE_HAPROXY_STATS_PORT": str(stats)}
        # Ray gives its workers the lowest priority but four (15): on a busy machine they would never start.
        own = {"RAY_AUTH_MODE": "disabled", "RAY_worker_niceness": "0", "PYTHONPATH": str(ROOT)}
        with log.open("a") as out:
            self._process = subprocess.Popen(
                command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, cwd=ROOT, start_new_session=True,
                env={**os.environ, **TUNED, **VLLM, **ports, **own},
            )  # fmt: skip

    def deploy(self, *applications: dict[str, Any], timeout_s: float = DEPLOY_TIMEOUT_S) -> dict[str, Any]:
        """Put a Serve config and wait until all of it runs as it says; return what Serve says of the applications."""
        self.put(*applications)
        return self.settled(timeout_s)

    def put(self, *applications: dict[str, Any]) -> None:
        """Put a Serve config."""
        body = {"applications": applications, "http_options": {"host": "127.0.0.1", "port": self._serve_port}}
        answer = self._http.put(self._dashboard, json=body)
        if answer.status_code != 200:
            raise RuntimeError(answer.text)

    def settled(self, timeout_s: float = DEPLOY_TIMEOUT_S) -> dict[str, Any]:
        """Wait until every application runs with every deployment healthy."""
        return eventually(self.seen, _runs, timeout_s, "the applications run")

    def seen(self) -> dict[str, Any]:
        """Return what Serve says of its applications now; nothing where a busy machine does not answer."""
        try:
            return self.applications()
        except httpx.TransportError:
            return {}

    def ingress_url(self) -> str:
        """Return the address of a replica of the ingress, which Ray's HAProxy sends requests to."""
        (node,) = self._http.get(self._dashboard).json()["proxies"]
        config = Path(f"/tmp/haproxy-serve/{node}/haproxy.cfg").read_text()  # noqa: S108
        found = re.search(r"^\s*server SERVE_REPLICA\S* (\S+:\d+)", config, re.MULTILINE)
        if found is None:
            raise LookupError(f"no replica in {config}")
        return f"http://{found[1]}"

    def bundles(self) -> list[dict[str, float]]:
        """Return the resources of every bundle that is reserved."""
        answer = self._http.get(self._dashboard.replace("serve/applications/", "v0/placement_groups?detail=true"))
        groups = answer.raise_for_status().json()["data"]["result"]["result"]
        held = [group for group in groups if group["state"] == "CREATED"]
        return [bundle["unit_resources"] for group in held for bundle in group["bundles"]]

    def applications(self) -> dict[str, Any]:
        """Return what Serve says of its applications now.

        Raises:
            RuntimeError: one of them cannot be deployed; with Serve's words.
        """
        found: dict[str, Any] = self._http.get(self._dashboard).json()["applications"]
        for name, application in found.items():
            if application["status"] == "DEPLOY_FAILED":
                messages = [each["message"] for each in application["deployments"].values()]
                raise RuntimeError(f"{name}: {application['message']} {messages}")
        return found

    def stop(self) -> None:
        """End it and all that it started: they are in its process group, or name its folder."""
        os.kill(self._process.pid, signal.SIGTERM)  # `ray start --block` ends its processes in order
        try:
            self._process.wait(STOP_TIMEOUT_S)
        finally:
            for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    if str(self.folder) in cmdline.read_text(errors="replace"):
                        os.kill(int(cmdline.parent.name), signal.SIGKILL)
                except OSError:
                    continue

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"ray start ended with status {self._process.returncode}")
        try:
            return self._http.get(self._dashboard).status_code == 200
        except httpx.HTTPError:
            return False


def _runs(applications: dict[str, Any]) -> bool:
    deployments = [each for application in applications.values() for each in application["deployments"].values()]
    states = {application["status"] for application in applications.values()}
    return states == {"RUNNING"} and all(each["status"] == "HEALTHY" for each in deployments)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()
