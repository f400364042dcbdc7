"""What needs a connection of its own into a pod: running a command there."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from rayops.kube.errors import KubeError
from rayops.kube.objects import dig, first_line

# The channel of the web socket on which the API server says how a command ended.
_STATUS: Final = 3


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
    configuration: Any, namespace: str, pod: str, argv: Sequence[str], *, container: str, timeout_s: float
) -> ExecResult:
    """Run a command in a container over a web socket; KubeError when it is not over in time."""
    from kubernetes.client import ApiClient, CoreV1Api
    from kubernetes.stream import stream

    # The stream helper swaps a method of the client while it connects, so each call gets a client of its own.
    api = CoreV1Api(ApiClient(configuration))
    socket = stream(
        api.connect_get_namespaced_pod_exec, pod, namespace, command=list(argv),
        container=container, stdin=False, stdout=True, stderr=True, tty=False, _preload_content=False,
    )  # fmt: skip
    try:
        socket.run_forever(timeout=timeout_s)
        if socket.is_open():
            raise KubeError(f"`{argv[0]}` in pod {namespace}/{pod} was not over after {timeout_s:.0f} s")
        return ExecResult(exit_code(socket.read_channel(_STATUS)), socket.read_stdout(), socket.read_stderr())
    finally:
        socket.close()


def exit_code(status: str) -> int:
    """The exit code in the status object that ends a command; KubeError when the command did not even start."""
    told = json.loads(status) if status else {}
    if told.get("status") == "Success":
        return 0
    for cause in dig(told, "details", "causes", default=[]):
        if cause.get("reason") == "ExitCode":
            return int(cause["message"])
    raise KubeError(first_line(told.get("message")) or "the connection to the container ended early")
