"""The real tools that tests without a cluster run."""

import shutil
from pathlib import Path

from rayops.cluster import tools
from rayops.errors import RayopsError


def tool(name: str) -> Path:
    """The pinned tool; where it was not built, the one on PATH, whatever its version."""
    try:
        return tools.path(name)
    except RayopsError:
        found = shutil.which(name)
        if found is None:
            raise
        return Path(found)
