"""A review as text, Markdown, JSON or HTML."""

from collections.abc import Callable

from rayops.review.model import Review
from rayops.review.report import html, machine, markdown, text

FORMATS: dict[str, Callable[[Review], str]] = {
    "text": text.report,
    "markdown": markdown.report,
    "json": machine.report,
    "html": html.report,
}
