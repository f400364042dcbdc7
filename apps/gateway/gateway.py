"""One request from its key to its answer: the parts put together. HTTP bodies and routes are in ingress.py."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from apps.common.errors import PipelineError, printable
from apps.gateway.backends import Asked, Backends
from apps.gateway.cooldown import Cooldown
from apps.gateway.failures import BackendError
from apps.gateway.files import Watched
from apps.gateway.keys import ApiKey, Keys
from apps.gateway.limits import Limits
from apps.gateway.metrics import Instruments, Metrics, RayInstruments
from apps.gateway.routing import Attempt, Table
from apps.gateway.settings import Backend, GatewayArgs, IngressSettings, Route
from apps.gateway.shadows import Shadows
from apps.gateway.usage import Usage

logger = logging.getLogger("ray.serve")

Answer = TypeVar("Answer")
_READY_FOR_S = 5.0


@dataclass(frozen=True, slots=True)
class Ticket:
    """A request that was let in. session: what it sticks by, if anything. started: time.monotonic()."""

    key: ApiKey
    route: Route
    asked: Asked
    session: str | None
    started: float


class Gateway:
    """What one replica of the Ingress holds.

    Args:
        args: of the application.
        limiter: handle of the Limiter.
        rng: draws targets and shadows.
        instruments: where the numbers go.
    """

    def __init__(
        self,
        args: GatewayArgs,
        limiter: Any,
        rng: random.Random | None = None,
        instruments: Instruments | None = None,
    ):
        self.args = args
        self.settings = IngressSettings()
        self.table = Table(())
        self.keys = Keys(args.keys_path)
        self.metrics = Metrics(instruments or RayInstruments())
        self.limits = Limits(limiter, self.metrics)
        self.cooldown = Cooldown()
        self.rng = rng or random.Random()  # noqa: S311 - who is asked, no secret
        self._key_files: dict[str, Watched[str]] = {}
        self.backends = Backends(args.limits.in_flight, args.answer_bytes, self._key_of)
        copies = Backends(args.limits.in_flight, args.answer_bytes, self._key_of)
        self.shadows = Shadows(copies, lambda: self.settings.shadow_in_flight, self.metrics, self.rng)
        self._seen: tuple[float, Table, dict[str, str]] = (0.0, self.table, {})

    def configure(self, settings: IngressSettings) -> None:
        """Take new routes; requests on their way keep theirs.

        Raises:
            OSError: a backend's file of its key is not there; the old routes stay.
        """
        backends = [backend for route in settings.routes for backend in backends_of(route)]
        files = {str(each.api_key_file): each.api_key_file for each in backends if each.api_key_file}
        self._key_files = {name: self._key_files.get(name) or Watched(path, str.strip) for name, path in files.items()}
        self.settings, self.table = settings, Table(settings.routes)
        self.cooldown.keep({address(backend) for backend in backends})

    def _key_of(self, backend: Backend) -> str | None:
        file = self._key_files.get(str(backend.api_key_file))
        return file.value if file else None

    async def ask(self, ticket: Ticket, one: Callable[[Attempt, Asked], Awaitable[Answer]]) -> tuple[Attempt, Answer]:
        """Return who answered, and what; backends are asked one after the other until one does.

        Raises:
            PipelineError: the request was refused, or nobody answered.
        """
        failure: BackendError | None = None
        for attempt in self._in_turn(self.table.plan(ticket.route, ticket.session, self.rng)):
            try:
                answer = await one(attempt, ticket.asked)
            except BackendError as failed:
                failure = failed
                self._note(failed, attempt, ticket.asked.request_id)
                continue
            except PipelineError as error:
                if error.status < 500:  # it is alive enough to refuse a request
                    self.cooldown.succeeded(address(attempt.target))
                raise
            self.cooldown.succeeded(address(attempt.target))
            self.metrics.first_byte(attempt, time.monotonic() - ticket.started)
            if attempt.fallback:
                self.metrics.fell_back(ticket.route.model, attempt)
            return attempt, answer
        raise failure.error if failure else AssertionError("a plan has at least one attempt")

    def _in_turn(self, plan: list[Attempt]) -> Iterator[Attempt]:
        """Yield the attempts, those that are left out now at the end: better a slow failure than none tried."""
        left_out = []
        for each in plan:
            if self.cooldown.admits(address(each.target)):
                yield each
            else:
                left_out.append(each)
        yield from left_out

    def _note(self, failed: BackendError, attempt: Attempt, request_id: str) -> None:
        mark = self.cooldown.failed if failed.deadly else self.cooldown.succeeded
        mark(address(attempt.target))
        self.metrics.failed(attempt, failed.reason)
        target = attempt.target
        logger.warning("no answer of %s at %s: %s request_id=%s", target.name, target.url, failed, request_id)

    def book(self, ticket: Ticket, attempt: Attempt, status: str, usage: Usage) -> None:
        """Count an answer and book its tokens."""
        self.metrics.answered(attempt, ticket.key.name, status, usage)
        self.limits.spend(ticket.key, usage.read + usage.written)

    async def ready(self, timeout_s: float) -> dict[str, str]:
        """Return "ok", or what is missing, for what must be there before anybody can be answered; nobody is asked."""
        del timeout_s
        return {
            "routes": "ok" if self.table.routes else "there are no routes",
            "keys": "ok" if self.keys.known else "there are no keys",
        }

    async def remarks(self, timeout_s: float) -> dict[str, str]:
        """Return the backends that do not answer now, with why; asked again after some seconds at the earliest."""
        seen_at, table, found = self._seen
        if time.monotonic() < seen_at + _READY_FOR_S and table is self.table:
            return found
        table = self.table
        servers = {backend.url: backend for route in table.routes for backend in backends_of(route)}
        answers = await asyncio.gather(*(self.backends.answers(each, timeout_s) for each in servers.values()))
        silent = {url: answer for url, answer in zip(servers, answers, strict=True) if answer != "ok"}
        found = {
            backend.name: printable(silent[backend.url])
            for route in table.routes
            for backend in backends_of(route)
            if backend.url in silent
        }
        self._seen = (time.monotonic(), table, found)
        return found

    def refused(self, ticket: Ticket, error: PipelineError) -> None:
        """Count a request that got no answer of a model."""
        self.metrics.unanswered(ticket.route.model, ticket.key.name, str(error.status))


def backends_of(route: Route) -> list[Backend]:
    """Return every backend that a route names."""
    return [*route.targets, *([route.shadow] if route.shadow else [])]


def address(backend: Backend) -> tuple[str, str]:
    """Return what is alive or dead: a model on a server."""
    return backend.url, backend.model
