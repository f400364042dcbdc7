"""Where things lie: the checkout, and the cache folder that Git ignores."""

import hashlib
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Absolute: programs run in other folders.
CACHE = Path(os.environ.get("RAYOPS_CACHE") or ROOT / ".cache").absolute()
BIN = CACHE / "bin"
EVIDENCE = ROOT / ".evidence"
TOOLS = ROOT / "scripts" / "tools"


def app_folder(pipeline: str, root: Path = ROOT) -> Path:
    """The folder of a pipeline's code. A package of Python has no dash: text-analysis lies in apps/text_analysis."""
    return root / "apps" / pipeline.replace("-", "_")


def checkout_id() -> str:
    """Six hex digits that name this checkout: two checkouts on one machine never share a cluster."""
    return hashlib.sha256(str(ROOT).encode()).hexdigest()[:6]


def content_hash(*parts: Path | str) -> str:
    """Twelve hex digits over strings and files (folders: all files below), by relative name and content."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            digest.update(b"\0s" + part.encode())
            continue
        files = sorted(file for file in part.rglob("*") if file.is_file()) if part.is_dir() else [part]
        for file in files:
            if "__pycache__" in file.parts:
                continue
            digest.update(b"\0f" + str(file.relative_to(part.parent)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]
