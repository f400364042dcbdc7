"""What can go wrong between us and an API server."""

from rayops.errors import RayopsError


class KubeError(RayopsError):
    """The API server refused, or could not be reached (status 0). status: the HTTP code."""

    def __init__(self, message: str, *, status: int = 0, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class NotFoundError(KubeError):
    """The object, or its kind, is not there."""


class RemoteClusterError(RayopsError):
    """The kubeconfig points at a cluster that is not on this machine, and nobody said that this is wanted."""
