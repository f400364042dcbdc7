"""YAML of strangers: the guarded loader of rayops.render."""

from typing import Any


def loader() -> Any:
    """PyYAML's C loader where it is there."""
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)
