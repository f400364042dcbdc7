"""What the reader refuses, in one place: each refusal is a 4xx that names the body and the reason."""

from apps.common.errors import PipelineError


def refused(kind: str, message: str) -> PipelineError:
    """Return the answer to a document that cannot be read as it is."""
    return PipelineError(422, kind, message, "body")


def empty() -> PipelineError:
    """Return the answer to 0 bytes."""
    return refused("empty", "the document has 0 bytes")


def damaged(what: str, reason: str) -> PipelineError:
    """Return the answer to a file that is not, or not wholly, what its content type says."""
    return refused("damaged", f"not a readable {what}: {reason}")


def too_many_pages(count: int, limit: int) -> PipelineError:
    """Return the answer to a document that is too long."""
    return refused("too_many_pages", f"the document has {count} pages, {limit} at most are read")


def too_many_characters(limit: int) -> PipelineError:
    """Return the answer to a document with too much text."""
    return refused("too_many_characters", f"the document has more than {limit} characters")


def too_expensive(reason: str) -> PipelineError:
    """Return the answer to a document whose reading was stopped."""
    return refused("too_expensive", f"the document could not be read within the bounds: {reason}")
