"""A loopback port of ours that leads into a pod through the API server, as `kubectl port-forward` does.

with Forward(kube, "rag", lambda: head_pod_name, 8265) as forward:
    print(forward.url)
"""

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any, Self

from rayops.kube.client import Kube

_CHUNK = 65536


class Forward:
    """Listens on a free loopback port until closed. target: the pod's name, asked anew for every connection."""

    def __init__(self, kube: Kube, namespace: str, target: Callable[[], str], port: int) -> None:
        self._kube, self._namespace, self._target, self._remote = kube, namespace, target, port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, name=f"forward-{self.port}", daemon=True).start()

    @property
    def url(self) -> str:
        """The local end as an HTTP address."""
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Stop listening; open connections end when a side closes them."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.closing(client):
            try:
                remote = self._connect()
            except Exception:  # any failure to connect is a closed connection for the caller
                return
            back = threading.Thread(target=_copy, args=(remote, client), daemon=True)
            back.start()
            _copy(client, remote)
            back.join()
            remote.close()

    def _connect(self) -> Any:
        from kubernetes.client import ApiClient, CoreV1Api
        from kubernetes.stream import portforward

        api = CoreV1Api(ApiClient(self._kube.configuration))
        tunnel = portforward(
            api.connect_get_namespaced_pod_portforward, self._target(), self._namespace, ports=str(self._remote)
        )
        return tunnel.socket(self._remote)


def _copy(source: Any, sink: Any) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
