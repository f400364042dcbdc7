"""The one exception root of rayops: the command line turns it into one line and an exit code."""

from pathlib import Path


class RayopsError(Exception):
    """Something the user can understand and mend.

    message: what went wrong, one line. hint: the way out, one line. evidence: file or folder with the details.
    """

    def __init__(self, message: str, *, hint: str | None = None, evidence: Path | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.evidence = evidence
