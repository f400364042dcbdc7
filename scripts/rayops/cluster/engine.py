"""The container engine: Docker when it answers, else Debian's own, installed and started here.

Hosts without CAP_SYS_RESOURCE (many sandboxes) refuse every privileged container with "unable to apply caps"; there the
engine gets a runtime that asks only for the capabilities that the host itself holds (files/oci_runtime.py).
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from rayops import proc
from rayops.errors import RayopsError
from rayops.paths import CACHE

LOG = CACHE / "logs" / "engine.log"
PID = CACHE / "engine.pid"
DOCKER_PID = Path("/var/run/docker.pid")
# Not below the checkout: the engine serves others when this checkout is gone.
RUNTIME = Path("/run/rayops/oci-runtime")
PACKAGES = ("docker.io", "iptables")
START_TIMEOUT = 60.0
ALL_CAPABILITIES = (1 << 25) - 1  # CAP_CHOWN (0) to CAP_SYS_RESOURCE (24): what privileged containers ask for


def answers() -> bool:
    """True when a Docker engine is there for us."""
    return proc.succeeds(["docker", "info"], timeout=20)


def version() -> str:
    """Version of the engine, as it reports it."""
    return proc.run(["docker", "version", "--format", "{{.Server.Version}}"], timeout=20).strip()


def ensure() -> str:
    """Make a Docker engine answer. Returns what was done; raises RayopsError with the command that would help."""
    if answers():
        return ""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise RayopsError(
            "no container engine answers, and only root on Debian or Ubuntu can install one here",
            hint="install Docker and run this again, or answer without Kubernetes: ./scripts/up --serve-only",
        )
    done = []
    if shutil.which("dockerd") is None:
        install(*PACKAGES)
        done.append("installed")
    if not answers():  # a systemd host starts it by installing it
        _start()
        done.append("started")
    return "docker engine " + " and ".join(done)


def install(*packages: str) -> None:
    """Install Debian packages. Raises RayopsError with the cause in one line."""
    log = CACHE / "logs" / "apt.log"
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    proc.run(["apt-get", "update", "-q"], log=log, env=quiet)
    proc.run(["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages], log=log, env=quiet)


def missing_capabilities(status: str | None = None) -> list[int]:
    """Numbers of the capabilities up to CAP_SYS_RESOURCE that are not in this process's bounding set."""
    text = status if status is not None else Path("/proc/self/status").read_text()
    bounding = next(int(line.split()[1], 16) for line in text.splitlines() if line.startswith("CapBnd"))
    return [bit for bit in range(25) if (ALL_CAPABILITIES & ~bounding) >> bit & 1]


def forget_dead(pid_file: Path = DOCKER_PID) -> bool:
    """Remove the pid file of an engine that was killed: another process may have its number by now, and dockerd would
    refuse to start. Returns True when it was removed.
    """
    try:
        if "dockerd" in Path(f"/proc/{int(pid_file.read_text())}/cmdline").read_text():
            return False
    except FileNotFoundError:
        pass
    except (OSError, ValueError):
        return False
    there = pid_file.exists()
    pid_file.unlink(missing_ok=True)
    return there


def _start() -> None:
    forget_dead()
    command = ["dockerd"]
    if missing_capabilities():
        command += ["--add-runtime", f"available={_runtime()}", "--default-runtime", "available"]
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with LOG.open("a") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
    PID.write_text(f"{process.pid}\n")
    deadline = time.monotonic() + START_TIMEOUT
    while not answers():
        if process.poll() is not None:
            last = LOG.read_text().strip().splitlines()[-1:]
            raise RayopsError(f"dockerd ended at once: {last[0] if last else 'no output'}", evidence=LOG)
        if time.monotonic() > deadline:
            process.terminate()
            raise RayopsError(f"dockerd did not answer within {START_TIMEOUT:.0f} s", evidence=LOG)
        time.sleep(0.3)


def _runtime() -> Path:
    """The runtime as a program of its own: it must run with this interpreter, whatever containerd's PATH is."""
    source = Path(__file__).parent / "files" / "oci_runtime.py"
    RUNTIME.parent.mkdir(parents=True, exist_ok=True)
    RUNTIME.write_text(f"#!{os.path.realpath(sys.executable)} -IS\n{source.read_text()}")
    RUNTIME.chmod(0o755)
    return RUNTIME


def stop() -> bool:
    """Stop the engine that `ensure` started. Returns False when it was not started here or has gone."""
    if not PID.exists():
        return False
    try:
        number = int(PID.read_text())
        PID.unlink()
        if "dockerd" not in Path(f"/proc/{number}/cmdline").read_text():
            return False
        os.kill(number, signal.SIGTERM)
    except (OSError, ValueError):
        return False
    return True
