"""YAML of strangers: one value or one clear error, whatever the bytes are."""

from typing import Any


def load_all(text: str) -> list[Any]:
    """All documents of a text. ValueError as `load` has it."""
    import yaml

    try:
        return list(yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())[:200]) from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def load(text: str) -> Any:
    """A document of YAML as plain objects. ValueError, one line, where it is none, or too deep."""
    import yaml

    try:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - safe ones
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())[:200]) from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
