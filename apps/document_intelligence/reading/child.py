"""The child process: `python -m apps.document_intelligence.reading.child`, one file, one answer, then it ends.

On its standard input a line of JSON (`Job`) and the bytes of the file; on its standard output one pickle-free JSON
object: `{"opened": ...}`, `{"page": ...}` or `{"error": [status, kind, message]}`.
"""

import json
import resource
import sys
from dataclasses import asdict
from typing import Any

from apps.common.errors import PipelineError
from apps.document_intelligence.reading.bounds import too_expensive
from apps.document_intelligence.settings import ReaderArgs


def bound(args: ReaderArgs) -> None:
    """Set the bounds of this process: address space, CPU seconds, no file written, no core dump."""
    for what, limit in (
        (resource.RLIMIT_AS, args.memory_mb * 1024 * 1024),
        (resource.RLIMIT_CPU, args.cpu_s),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (limit, limit))


def work(job: dict[str, Any], content: bytes, args: ReaderArgs) -> dict[str, Any]:
    """Do one job.

    Raises:
        PipelineError: 422, the file.
    """
    if job["do"] == "open":
        from apps.document_intelligence.reading.pdf import open_pdf

        return {"opened": asdict(open_pdf(content, args, job["first"]))}
    from apps.document_intelligence.reading import ocr

    is_png = job["media_type"] == "image/png"
    page = ocr.read_png(content, args) if is_png else ocr.read_pdf(content, job["number"], args)
    return {"page": asdict(page)}


def answer(job: dict[str, Any], content: bytes, args: ReaderArgs) -> dict[str, Any]:
    """Do one job; what the file is to blame for is part of the answer."""
    try:
        return work(job, content, args)
    except PipelineError as error:
        return {"error": [error.status, error.kind, error.message]}
    except MemoryError:
        error = too_expensive(f"more than {args.memory_mb} MB of memory")
        return {"error": [error.status, error.kind, error.message]}


def main() -> None:
    """Run the job that comes in."""
    job = json.loads(sys.stdin.buffer.readline())
    args = ReaderArgs(**job["args"])
    bound(args)
    result = answer(job, sys.stdin.buffer.read(), args)
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    main()
