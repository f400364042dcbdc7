"""What the tests ask of a GitOps controller, whichever it is."""

from dataclasses import dataclass
from typing import Protocol

from rayops.kube import Timeout, eventually, itself
from tests.harness.delivery.repository import Commit


@dataclass(frozen=True)
class Verdict:
    """What a controller says of a pipeline. commit: the one that this is about, "" before the first.

    state: its own word (Argo CD: sync and health; Flux: Ready and its reason). healthy: whether it calls that commit
    applied and healthy. failed: whether it calls it failed, and does not just wait. message: its own words.
    """

    commit: str
    state: str
    healthy: bool
    failed: bool
    message: str


class Controller(Protocol):
    """A GitOps controller that syncs one pipeline of the repository."""

    name: str
    # Its own objects lie here, and its log.
    namespace: str
    # For 2 s after a change KubeRay's status is the one of before. How long a verdict of that moment may stand, in
    # seconds: until the controller looks again.
    looks_again_s: float

    def install(self) -> None:
        """Its definitions, its configuration, its pods; wait until they are ready."""

    def start(self) -> None:
        """Give it the objects that sync the pipeline. Does not wait for the pipeline."""

    def look_now(self) -> None:
        """What a webhook of the Git server does: do not wait for the next poll."""

    def verdict(self) -> Verdict:
        """What it says now."""

    def stop(self) -> None:
        """Remove the pipeline's object, and with it the pipeline, while the controller still runs."""

    def objects(self) -> dict[str, object]:
        """Its own objects with their statuses, for evidence."""


def wait_healthy(controller: Controller, commit: Commit, timeout: Timeout = Timeout.LONG) -> Verdict:
    """Wait until the controller calls exactly this commit healthy."""
    return eventually(
        controller.verdict,
        itself,
        lambda found: found.commit == commit.sha and found.healthy,
        timeout,
        f"{controller.name} calls {commit.sha[:8]} healthy",
        every=0.5,
    )
