"""The child process: `python -m apps.document_intelligence.reading.child`, one file, one answer, then it ends.

On its standard input comes a line of JSON (the job and its bounds) and the bytes of the file; on its standard output it
leaves one JSON object: `{"opened": ...}`, `{"page": ...}` or `{"refused": [kind, message]}`.
"""

import json
import resource
import sys
from dataclasses import asdict
from typing import Any

from apps.document_intelligence.reading.bounds import Bounds, RefusedError, too_expensive


def restrict(bounds: Bounds) -> None:
    """Set the limits of this process: address space, CPU seconds, no file written, no core dump."""
    for what, limit in (
        (resource.RLIMIT_AS, bounds.memory_mb * 1024 * 1024),
        (resource.RLIMIT_CPU, bounds.cpu_s),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (limit, limit))


def work(job: dict[str, Any], content: bytes, bounds: Bounds) -> dict[str, Any]:
    """Do one job; what the file is to blame for is part of the answer."""
    try:
        if job["do"] == "open":
            from apps.document_intelligence.reading.pdf import open_pdf

            return {"opened": asdict(open_pdf(content, bounds, job["first"]))}
        from apps.document_intelligence.reading import ocr

        is_png = job["media_type"] == "image/png"
        page = ocr.read_png(content, bounds) if is_png else ocr.read_pdf(content, job["number"], bounds)
        return {"page": asdict(page)}
    except RefusedError as refusal:
        return {"refused": [refusal.kind, refusal.message]}
    except MemoryError:
        big = too_expensive(f"more than {bounds.memory_mb} MB of memory")
        return {"refused": [big.kind, big.message]}


def main() -> None:
    """Do the job that comes in."""
    job = json.loads(sys.stdin.buffer.readline())
    bounds = Bounds(**job["bounds"])
    restrict(bounds)
    sys.stdout.write(json.dumps(work(job, sys.stdin.buffer.read(), bounds)))


if __name__ == "__main__":
    main()
