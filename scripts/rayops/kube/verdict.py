"""What a health rule says: a status in Argo CD's words, why, and for a RayService the layer that is not reached."""

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final


class Status(Enum):
    """The verdict, in the words of Argo CD."""

    HEALTHY = "Healthy"
    PROGRESSING = "Progressing"
    DEGRADED = "Degraded"
    SUSPENDED = "Suspended"


class Layer(IntEnum):
    """What must come true, in this order, until requests are answered."""

    ACCEPTED = 1
    SCHEDULED = 2
    HEAD = 3
    WORKERS = 4
    APPLICATIONS = 5
    ENDPOINTS = 6
    DATA_PATH = 7

    @property
    def label(self) -> str:
        """The layer in words, for a progress line."""
        return _LABELS[self]


_LABELS: Final = {
    Layer.ACCEPTED: "operator accepted",
    Layer.SCHEDULED: "cluster pods scheduled",
    Layer.HEAD: "head ready",
    Layer.WORKERS: "workers running",
    Layer.APPLICATIONS: "applications running",
    Layer.ENDPOINTS: "endpoints",
    Layer.DATA_PATH: "data path answers",
}


@dataclass(frozen=True)
class Verdict:
    """Status and reason of any object."""

    status: Status
    message: str


@dataclass(frozen=True)
class Health:
    """The verdict on a RayService. layer: the first one not reached; DATA_PATH is for the caller's probe to see."""

    status: Status
    layer: Layer
    message: str

    @property
    def healthy(self) -> bool:
        """Whether every status says that requests are served as the spec wants it. Not proof that they are: probe."""
        return self.status is Status.HEALTHY

    def __str__(self) -> str:
        return f"{self.status.value} at '{self.layer.label}': {self.message}"
