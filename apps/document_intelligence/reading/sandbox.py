"""Run the child process that opens a file, and turn whatever becomes of it into pages or into a 4xx.

A parser in C++ that meets a file made to break it may crash, hang or eat memory. So each call has a process of its own:
bounded by rlimits (reading.child), by wall time, and ended when the caller goes. The replica only waits for it. It is a
fence against files that are too expensive or crash the parser; it has the replica's user and network, so it is no jail
against code execution.
"""

import asyncio
import base64
import json
import logging
import signal
import subprocess
import sys
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from apps.common.errors import PipelineError
from apps.document_intelligence.pages import MediaType, Opened, Page
from apps.document_intelligence.reading.bounds import Bounds, RefusedError, damaged, too_expensive
from apps.document_intelligence.reading.plain import open_text
from apps.document_intelligence.reading.png import open_png
from apps.document_intelligence.settings import ReaderArgs

logger = logging.getLogger("ray.serve")

_ROOT = str(Path(__file__).resolve().parents[3])
_COMMAND = (sys.executable, "-s", "-P", "-m", "apps.document_intelligence.reading.child")
# Nothing of the replica's environment: no keys, no tokens.
_ENVIRONMENT = {"PYTHONPATH": _ROOT, "OMP_THREAD_LIMIT": "1", "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
_PAGE = {"do": "page", "media_type": "image/png"}
# A white pixel as PNG.
_WHITE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEANl9ngAAAAABJRU5ErkJggg=="
)


class Reader:
    """Opens documents and reads their pages."""

    def __init__(self, args: ReaderArgs):
        self.args = args
        given = args.model_dump()
        self._bounds = Bounds(**{each.name: given[each.name] for each in fields(Bounds)})
        self._turn = asyncio.Semaphore(args.processes)

    async def open(self, content: bytes, media_type: MediaType, first: int = 1) -> Opened:
        """Return a slice of the document from page `first` on.

        Raises:
            PipelineError: 422 with the reason.
        """
        if not content:
            raise as_error(RefusedError("empty", "the document has 0 bytes"))
        if media_type != "application/pdf":
            # Nothing hostile can hide from a decoder of UTF-8 and a look at a header: no process for these.
            opening = open_text if media_type == "text/plain" else open_png
            try:
                return await asyncio.to_thread(opening, content, self._bounds)
            except RefusedError as refusal:
                raise as_error(refusal) from refusal
        result = await self._run({"do": "open", "first": first}, content)
        opened = result["opened"]
        return Opened(opened["count"], [_page(each) for each in opened["pages"]], opened["scanned"], opened["next"])

    async def page(self, content: bytes, media_type: MediaType, number: int) -> Page:
        """Return one page, read by OCR.

        Raises:
            PipelineError: 422 with the reason.
        """
        result = await self._run({**_PAGE, "media_type": media_type, "number": number}, content)
        return _page(result["page"])

    def prove(self) -> None:
        """Read an empty picture: what is missing here (a library, the language data) shows now, not as a file's fault.

        Raises:
            RuntimeError: the child process cannot work.
        """
        process = self._start()
        output, errors = process.communicate(self._input({**_PAGE, "number": 1}, _WHITE), self.args.wall_s)
        if process.returncode or "page" not in json.loads(output):
            raise RuntimeError(f"the reader does not work ({process.returncode}): {errors.decode()[-500:]}")

    async def _run(self, job: dict[str, Any], content: bytes) -> dict[str, Any]:
        async with self._turn:
            process = self._start()
            try:
                # In a thread: the loop of a replica (uvloop, outside of the main thread) cannot wait for a process.
                given = self._input(job, content)
                output, errors = await asyncio.to_thread(process.communicate, given, self.args.wall_s)
            except subprocess.TimeoutExpired as error:
                raise as_error(too_expensive(f"more than {self.args.wall_s:g} s")) from error
            finally:
                # The caller left, or it took too long; one that has ended takes no harm.
                process.kill()
        return self._result(process.wait(), output, errors)

    def _start(self) -> "subprocess.Popen[bytes]":
        pipe = subprocess.PIPE
        return subprocess.Popen(_COMMAND, stdin=pipe, stdout=pipe, stderr=pipe, env=_ENVIRONMENT, cwd="/")

    def _input(self, job: dict[str, Any], content: bytes) -> bytes:
        return json.dumps({**job, "bounds": asdict(self._bounds)}).encode() + b"\n" + content

    def _result(self, status: int, output: bytes, errors: bytes) -> dict[str, Any]:
        if status < 0:
            logger.warning("a reader was ended by signal %s: %s", -status, errors[-300:])
            if -status in (signal.SIGXCPU, signal.SIGKILL):
                raise as_error(too_expensive(f"more than {self.args.cpu_s} s of CPU"))
            raise as_error(too_expensive(f"the reader was ended by {signal.Signals(-status).name}"))
        try:
            result: dict[str, Any] = json.loads(output)
        except ValueError as error:
            logger.warning("a reader ended with status %s: %s", status, errors[-300:])
            raise as_error(damaged("document", "the reader could not make anything of it")) from error
        if "refused" in result:
            raise as_error(RefusedError(*result["refused"]))
        return result


def as_error(refusal: RefusedError) -> PipelineError:
    """Return the answer to a refused document."""
    return PipelineError(422, refusal.kind, refusal.message, "body")


def _page(columns: dict[str, Any]) -> Page:
    columns["boxes"] = [tuple(box) for box in columns["boxes"]]
    return Page(**columns)
