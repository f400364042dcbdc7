"""Read the documents of an index: a repository's own, a folder, or a list of URLs."""

import hashlib
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger("ray.serve")

# What of this repository answers questions about it.
REPOSITORY_GLOBS = ("README.md", "base/observability/runbooks/*.md", "base/decisions/*.md", "apps/*/README.md")
FOLDER_GLOBS = ("**/*.md", "**/*.txt")
URL_BYTES = 5_000_000


@dataclass(frozen=True, slots=True)
class Document:
    """A text and its name: the path below the corpus root, or the URL."""

    name: str
    text: str

    @property
    def digest(self) -> str:
        """SHA-256 of name and text."""
        return hashlib.sha256(f"{self.name}\n{self.text}".encode("utf-8", "replace")).hexdigest()


def read_folder(root: Path, globs: Iterable[str] = FOLDER_GLOBS) -> Iterator[Document]:
    """Yield the documents below `root` that match, by name.

    Raises:
        FileNotFoundError: nothing matches.
        UnicodeDecodeError: a file is not UTF-8.
    """
    paths = sorted({path for glob in globs for path in root.glob(glob) if path.is_file()})
    if not paths:
        raise FileNotFoundError(f"no document in {root}")
    for path in paths:
        yield Document(path.relative_to(root).as_posix(), path.read_text("utf-8"))


def read_urls(listing: Path, timeout_s: float = 30) -> Iterator[Document]:
    """Yield the document behind each line of `listing` (blank lines and `#` comments are skipped).

    Raises:
        httpx.HTTPError: a document cannot be had.
        ValueError: a document is larger than 5 MB.
    """
    import httpx

    urls = [line.strip() for line in listing.read_text("utf-8").splitlines()]
    with httpx.Client(timeout=timeout_s, follow_redirects=True) as client:
        for url in urls:
            if not url or url.startswith("#"):
                continue
            yield Document(url, _fetch(client, url))


def _fetch(client: "httpx.Client", url: str) -> str:  # type: ignore[name-defined]  # noqa: F821
    with client.stream("GET", url) as answer:
        answer.raise_for_status()
        content = bytearray()
        for part in answer.iter_bytes():
            content += part
            if len(content) > URL_BYTES:
                raise ValueError(f"{url}: larger than {URL_BYTES} bytes")
        return content.decode(answer.encoding or "utf-8", "replace")


def read_corpus(source: Path) -> Iterator[Document]:
    """Yield the documents of `source`: a file is a list of URLs, a folder with `apps` and `base` this repository."""
    if source.is_file():
        return read_urls(source)
    is_repository = (source / "apps").is_dir() and (source / "base").is_dir()
    return read_folder(source, REPOSITORY_GLOBS if is_repository else FOLDER_GLOBS)
