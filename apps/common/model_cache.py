"""Fill a folder with models that are too big for the image: `python -m apps.common.model_cache --into FOLDER`.

The list of files stands in the variable MODELS, or in a file (`--list FILE`). A line is `sha256 url path`; `path` is
below the folder. A file appears whole and with the right digest, or not at all; what is there is kept, what was
interrupted goes on.
"""

import argparse
import hashlib
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import httpx

VARIABLE = "MODELS"
FAILED, WRONG = 1, 2  # exit codes: worth another try, or not before somebody changes the list
ATTEMPTS = 5
_PARTIAL, _VERIFIED = ".partial", ".verified"
_BLOCK = 1 << 20
_TIMEOUT = httpx.Timeout(60.0)  # s, to connect and between two blocks: a file may take as long as it is long
_PASSING = {408, 425, 429}


class WrongError(Exception):
    """The list or what it names is wrong: another try would end in the same way."""


class InterruptedDownloadError(Exception):
    """The server or the network stopped in the middle; what is here already is kept."""


@dataclass(frozen=True)
class Model:
    """One file: the SHA-256 of its content in lower-case hex, where it is had, where it goes below the folder."""

    digest: str
    url: str
    path: PurePosixPath


def read_list(text: str) -> list[Model]:
    """Return the files of a list; blank lines and those that begin with `#` say nothing.

    Raises WrongError with the number of the line and what is wrong in it.
    """
    found: dict[PurePosixPath, Model] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        model = _read_line(line, f"line {number} of the list")
        if model.path in found:
            raise WrongError(f"line {number} of the list: {model.path} stands there twice")
        found[model.path] = model
    if not found:
        raise WrongError("the list of models is empty: a line is `sha256 url path`")
    return list(found.values())


def _read_line(line: str, where: str) -> Model:
    words = line.split()
    if len(words) != 3:
        raise WrongError(f"{where}: {len(words)} words, not the three of `sha256 url path`")
    digest, url, path = words[0], words[1], PurePosixPath(words[2])
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise WrongError(f"{where}: {digest[:80]!r} is no SHA-256 (64 lower-case hexadecimal digits)")
    if not re.match(r"https?://[^/]+/", url):
        raise WrongError(f"{where}: {url[:200]!r} is no http:// or https:// address of a file")
    if path.is_absolute() or any(part.startswith(".") for part in path.parts) or not path.parts:
        raise WrongError(f"{where}: {words[2]!r} must be a path below the folder, without . or .. and hidden names")
    return Model(digest, url, path)


def fill(models: list[Model], folder: Path, client: httpx.Client, say: Callable[[str], object] = print) -> None:
    """Make every file of `models` be below `folder`, in order; `say` gets a line for each.

    Raises WrongError for a digest or an address that is wrong, InterruptedDownloadError when the last attempt ended
    early.
    """
    for model in models:
        if _is_there(folder, model):
            say(f"{model.path}: already there")
            continue
        part = folder / _PARTIAL / model.digest
        part.parent.mkdir(parents=True, exist_ok=True)
        _download(client, model, part, say)
        size = part.stat().st_size
        target = folder / model.path
        target.parent.mkdir(parents=True, exist_ok=True)
        part.replace(target)
        _stamp(folder, model, size)
        say(f"{model.path}: {size} bytes, digest as listed")


def _is_there(folder: Path, model: Model) -> bool:
    target, stamp = folder / model.path, folder / _VERIFIED / model.path
    if not target.is_file():
        return False
    size = target.stat().st_size
    if stamp.is_file() and stamp.read_text() == f"{model.digest} {size}":
        return True
    if _sha256(target) != model.digest:  # another version, or put there by hand
        return False
    _stamp(folder, model, size)
    return True


def _stamp(folder: Path, model: Model, size: int) -> None:
    stamp = folder / _VERIFIED / model.path
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(f"{model.digest} {size}")


def _download(client: httpx.Client, model: Model, part: Path, say: Callable[[str], object]) -> None:
    """Complete `part`. One that was begun earlier and turns out wrong is thrown away and had anew, once."""
    begun = part.exists()
    _complete(client, model.url, part, say)
    found = _sha256(part)
    if found != model.digest and begun:
        say(f"{model.path}: what was begun earlier does not fit, once more from the start")
        part.unlink()
        _complete(client, model.url, part, say)
        found = _sha256(part)
    if found != model.digest:
        part.unlink()
        raise WrongError(f"{model.path}: {model.url} has SHA-256 {found}, the list says {model.digest}; not kept")


def _complete(client: httpx.Client, url: str, part: Path, say: Callable[[str], object]) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _fetch(client, url, part)
        except (httpx.TransportError, InterruptedDownloadError) as error:
            reason = str(error) or type(error).__name__
            if attempt == ATTEMPTS:
                raise InterruptedDownloadError(f"{url}: {reason}, {ATTEMPTS} times") from error
            say(f"{url}: {reason}; attempt {attempt + 1} of {ATTEMPTS}")
            time.sleep(_pause(attempt))
        else:
            return


def _pause(attempt: int) -> float:
    return float(min(2**attempt, 30))


def _fetch(client: httpx.Client, url: str, part: Path) -> None:
    """Append to `part` what is missing of the file, or begin anew where the server sends only whole files."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
    with client.stream("GET", url, headers=headers) as answer:
        if have and answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # nothing is missing; the digest says whether it is right
        _check_status(answer, url)
        resumed = answer.headers.get("content-range", "").startswith(f"bytes {have}-")
        if answer.status_code == httpx.codes.PARTIAL_CONTENT and not resumed:
            part.unlink(missing_ok=True)
            raise InterruptedDownloadError("the server sent another part than the one asked for")
        with part.open("ab" if resumed else "wb") as file:
            for block in answer.iter_bytes():  # as they come: in blocks of a size the last one of a cut would be lost
                file.write(block)
            file.flush()
            os.fsync(file.fileno())


def _check_status(answer: httpx.Response, url: str) -> None:
    status = answer.status_code
    if status >= 500 or status in _PASSING:
        raise InterruptedDownloadError(f"answer {status}")
    if status >= 300:
        raise WrongError(f"{url}: answer {status}, no file")


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    for block in _blocks(file):
        digest.update(block)
    return digest.hexdigest()


def _blocks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while block := opened.read(_BLOCK):
            yield block


def main(arguments: list[str] | None = None) -> int:
    """Fill the folder and return the exit code: 0 all is there, 1 try again, 2 the list is wrong or lies."""
    parser = argparse.ArgumentParser(prog="python -m apps.common.model_cache", description="Fill a model cache.")
    parser.add_argument("--into", type=Path, required=True, help="folder of the cache")
    parser.add_argument("--list", type=Path, help=f"file with lines `sha256 url path` (default: variable {VARIABLE})")
    given = parser.parse_args(arguments)
    try:
        text = given.list.read_text("utf-8") if given.list else os.environ.get(VARIABLE, "")
        models = read_list(text)
        with httpx.Client(timeout=_TIMEOUT, follow_redirects=True) as client:
            fill(models, given.into, client, lambda line: print(line, flush=True))
    except (WrongError, UnicodeDecodeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG
    except (InterruptedDownloadError, httpx.HTTPError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
