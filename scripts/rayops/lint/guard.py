"""YAML of strangers: values, or one clear error, whatever the text is (the guarded loader of rayops.render)."""

from typing import Any

from rayops.errors import RayopsError


def load_all(text: str) -> list[Any]:
    """The documents of a text as plain objects. ValueError, one line with the line's number, where it is no YAML."""
    from rayops.render.loader import documents

    try:
        return [document for _, document in documents(text, "line")]
    except RayopsError as error:
        raise ValueError(" ".join(error.message.replace("line:", "line ", 1).split())[:200]) from error


def load(text: str) -> Any:
    """The only document of a text; None where it is empty. ValueError as load_all, and where there are several."""
    found = load_all(text)
    if len(found) > 1:
        raise ValueError(f"{len(found)} documents where one is wanted")
    return found[0] if found else None
