"""What the reader refuses, and from where on. No import here that a child process would wait for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds of one document; see settings.ReaderArgs, whose names they have."""

    pages: int
    characters: int
    image_pixels: int
    render_dpi: int
    render_pixels: int
    memory_mb: int
    cpu_s: int


class RefusedError(Exception):
    """A document that cannot be read as it is: the caller's fault, told with status 422."""

    def __init__(self, kind: str, message: str):
        super().__init__(kind, message)
        self.kind = kind
        self.message = message


def damaged(what: str, reason: str) -> RefusedError:
    """Return the refusal of a file that is not, or not wholly, what its content type says."""
    return RefusedError("damaged", f"not a readable {what}: {reason}")


def too_many_pages(count: int, limit: int) -> RefusedError:
    """Return the refusal of a document that is too long."""
    return RefusedError("too_many_pages", f"the document has {count} pages, {limit} at most are read")


def too_many_characters(limit: int) -> RefusedError:
    """Return the refusal of a document with too much text."""
    return RefusedError("too_many_characters", f"the document has more than {limit} characters")


def too_many_pixels(width: int, height: int, limit: int) -> RefusedError:
    """Return the refusal of an image that would fill the memory."""
    return RefusedError("too_many_pixels", f"the image has {width} x {height} pixels, {limit} at most are decoded")


def too_expensive(reason: str) -> RefusedError:
    """Return the refusal of a document whose reading was stopped."""
    return RefusedError("too_expensive", f"the document could not be read within the bounds: {reason}")
