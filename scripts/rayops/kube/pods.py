"""What needs a connection of its own into a pod: running a command there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rayops.kube.errors import KubeError


@dataclass(frozen=True)
class ExecResult:
    """How a command in a container ended. code: its exit code."""

    code: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        """Whether the exit code is 0."""
        return self.code == 0


def exec_in_pod(
    configuration: Any, namespace: str, pod: str, argv: Sequence[str], *, container: str | None, timeout_s: float
) -> ExecResult:
    """Run a command in a container over a web socket; KubeError when it is not over in time."""
    from kubernetes.client import ApiClient, CoreV1Api
    from kubernetes.stream import stream

    # The stream helper swaps a method of the client while it connects, so each call gets a client of its own.
    api = CoreV1Api(ApiClient(configuration))
    which = {"container": container} if container else {}
    socket = stream(
        api.connect_get_namespaced_pod_exec, pod, namespace, command=list(argv),
        stdin=False, stdout=True, stderr=True, tty=False, _preload_content=False, **which,
    )  # fmt: skip
    try:
        socket.run_forever(timeout=timeout_s)
        if socket.is_open():
            raise KubeError(f"`{argv[0]}` in pod {namespace}/{pod} was not over after {timeout_s:.0f} s")
        return ExecResult(int(socket.returncode), str(socket.read_stdout()), str(socket.read_stderr()))
    finally:
        socket.close()
