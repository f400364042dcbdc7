"""vLLM as a child of this process, on the GPUs of this process, behind its OpenAI-compatible server on the loopback."""

import contextlib
import ctypes
import logging
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

import httpx

from apps.support_assistant.settings import VllmArgs

logger = logging.getLogger("ray.serve")

COMMAND = (sys.executable, "-m", "vllm.entrypoints.openai.api_server")
_PERIOD_S = 0.2
_STOP_S = 10
_PR_SET_PDEATHSIG = 1


class VllmServer:
    """A running server; its output goes to the log of this process.

    Args:
        model: folder or name of the weights, and the name by which the server knows them.
        args: how it is started.
        command: program and first arguments.

    Raises:
        RuntimeError: it ended, or did not answer, before it was ready.
    """

    def __init__(self, model: str, args: VllmArgs, command: Sequence[str] = COMMAND):
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}/v1"
        options = ["--model", model, "--served-model-name", model, "--host", "127.0.0.1", "--port", str(port)]
        # Ray may kill this process without a word; a server left behind would keep the GPU.
        self._process = subprocess.Popen(
            [*command, *options, *args.arguments],
            stdin=subprocess.DEVNULL,
            preexec_fn=_end_with_parent,
        )
        try:
            self._wait(f"http://127.0.0.1:{port}/health", args.start_timeout_s)
        except BaseException:
            self.close()
            raise

    def check(self) -> None:
        """Raise when the server has ended.

        Raises:
            RuntimeError: with its exit status.
        """
        status = self._process.poll()
        if status is not None:
            raise RuntimeError(f"the vLLM server ended with status {status}; its last lines in this log say why")

    def close(self) -> None:
        """Stop the server."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _wait(self, health: str, timeout_s: float) -> None:
        started = time.monotonic()
        while time.monotonic() - started < timeout_s:
            self.check()
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(health, timeout=1, trust_env=False).status_code == 200:
                    logger.info("vLLM is ready after %.0f s", time.monotonic() - started)
                    return
            time.sleep(_PERIOD_S)
        raise RuntimeError(f"the vLLM server was not ready within generator.server.start_timeout_s {timeout_s:g} s")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
