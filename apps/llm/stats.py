"""What `GET /stats` says: the requests of every engine, and the memory of every process of the own server."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from apps.llm.engine import Counts


class Process(BaseModel):
    """One replica. rss_bytes: its memory as the kernel counts it, what it shares with others included."""

    replica: str
    pid: int
    rss_bytes: int


class ModelCounts(BaseModel):
    """Requests of one model since its engine started (apps.llm.engine.Counts)."""

    waiting: int
    running: int
    finished: int
    aborted: int
    failed: int
    refused: int


class EngineStats(Process):
    """One replica of LlmEngine. requests: that it holds now, for whichever model; at rest 0."""

    requests: int
    models: dict[str, ModelCounts]


class IngressStats(Process):
    """One replica of the Ingress. requests: that it holds now; at rest 0."""

    requests: int


class Stats(BaseModel):
    """All replicas that answered, and the sums over the engines."""

    engines: list[EngineStats]
    ingresses: list[IngressStats]
    total: ModelCounts


def process(replica: str) -> dict[str, Any]:
    """Return what a Process says of this one."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return {"replica": replica, "pid": os.getpid(), "rss_bytes": pages * os.sysconf("SC_PAGE_SIZE")}


def replica_name() -> str:
    """Return the id of this replica; "local" outside of Serve."""
    from ray import serve
    from ray.serve.exceptions import RayServeException

    try:
        return str(serve.get_replica_context().replica_id.unique_id)
    except RayServeException:
        return "local"


def of_counts(counts: Counts) -> ModelCounts:
    """Return the counts as the answer has them."""
    return ModelCounts(**asdict(counts))


def summed(engines: list[EngineStats], ingresses: list[IngressStats]) -> Stats:
    """Return the answer for the replicas that were heard."""
    total = Counts()
    for engine in engines:
        for counts in engine.models.values():
            for name, value in counts.model_dump().items():
                setattr(total, name, getattr(total, name) + value)
    return Stats(engines=engines, ingresses=ingresses, total=of_counts(total))
