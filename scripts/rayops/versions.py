"""The pins of versions.env.

>>> from rayops.versions import pin
>>> pin("RAY_VERSION")
'2.60.0'
"""

import functools

from rayops.errors import RayopsError
from rayops.paths import ROOT

FILE = ROOT / "versions.env"


@functools.cache
def pins() -> dict[str, str]:
    """All pins by name. Raises RayopsError naming the line that is not NAME=value."""
    found: dict[str, str] = {}
    for number, line in enumerate(FILE.read_text().splitlines(), start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, separator, value = text.partition("=")
        if not separator or not name.isidentifier() or not value or any(sign in value for sign in " '\"#"):
            raise RayopsError(f"{FILE.name}:{number}: expected NAME=value, found {text!r}")
        if name in found:
            raise RayopsError(f"{FILE.name}:{number}: {name} is there twice")
        found[name] = value
    return found


def pin(name: str) -> str:
    """One pin. Raises RayopsError when versions.env does not have it."""
    try:
        return pins()[name]
    except KeyError:
        raise RayopsError(f"versions.env has no {name}", hint=f"add a line {name}=VERSION") from None
