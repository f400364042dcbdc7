"""Files that others change while the gateway runs: Secrets that are mounted."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

logger = logging.getLogger("ray.serve")

T = TypeVar("T")
LOOK_EVERY_S = 1.0


class Watched(Generic[T]):
    """The value of a file, read again when the file is another one.

    A Secret's file is a link that is turned to a new folder in one step: inode and time tell, and no half of a file is
    read.

    Args:
        path: the file.
        parse: its text to the value; its errors keep the old value.
        every_s: how often to look, at most.

    Raises:
        OSError, ValueError: the file is not there, or not what `parse` wants, at the start.
    """

    def __init__(self, path: Path, parse: Callable[[str], T], every_s: float = LOOK_EVERY_S):
        self._path = path
        self._parse = parse
        self._every_s = every_s
        self._stamp = self._look()
        self._value = parse(path.read_text())
        self._next = time.monotonic() + every_s

    @property
    def value(self) -> T:
        """The value now; that of before while the file is missing or wrong, which the log then says once."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + self._every_s
            self._refresh()
        return self._value

    def _refresh(self) -> None:
        try:
            stamp = self._look()
            if stamp == self._stamp:
                return
            self._stamp = stamp
            self._value = self._parse(self._path.read_text())
            logger.info("%s was read again", self._path)
        except (OSError, ValueError) as error:
            logger.error("%s is not taken, what was read before stays: %s", self._path, error)

    def _look(self) -> tuple[int, int, int]:
        found = self._path.stat()
        return found.st_ino, found.st_mtime_ns, found.st_size
