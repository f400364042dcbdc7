"""The images of apps/images: `pipeline`, and `pipeline-gpu` for GPU workers; tagged by content, never built twice.

The wheels of the lock files are downloaded on the host first, so that the build itself needs no network.
"""

import platform
import shutil
import sys
import tempfile
from pathlib import Path

from rayops import proc
from rayops.cluster import node_image, rootfs
from rayops.errors import RayopsError
from rayops.paths import CACHE, ROOT, content_hash
from rayops.versions import pin

# RECIPE is that of the image that every machine builds; others lie beside it and are built when they are asked for.
RECIPE = ROOT / "apps" / "images" / "pipeline"
LOG = CACHE / "logs" / "pipeline-image.log"
# glibc 2.17 to 2.36 (Debian 12): pip matches these names exactly.
GLIBC_MINORS = range(17, 37)


def ensure(*, offline: bool, name: str = "pipeline") -> tuple[str, str]:
    """The image and what was done for it ("" when it was there); also tagged `local/NAME:dev`."""
    official = pin("PYTHON_BASE_IMAGE")
    online = not offline and node_image.registry_answers(official)
    base = official if online else _own_base(name)
    files = context_files(name)
    reference = f"local/{name}:{content_hash(base, *(str(file.relative_to(ROOT)) for file in files), *files)}"
    done = ""
    if not rootfs.image_exists(reference):
        _build(name, reference, base, files)
        done = f"{reference} built, {size_mb(reference)} MB"
    proc.run(["docker", "tag", reference, f"local/{name}:dev"])
    return reference, done


def size_mb(reference: str) -> int:
    """Unpacked size of an image in MB (10^6 bytes)."""
    return int(proc.run(["docker", "image", "inspect", "--format", "{{.Size}}", reference])) // 1_000_000


def context_files(name: str = "pipeline") -> list[Path]:
    """What goes into the image: the files that its context.txt names, sorted."""
    listing = _recipe(name) / "context.txt"
    globs = [line.strip() for line in listing.read_text().splitlines() if line.strip() and not line.startswith("#")]
    found: set[Path] = set()
    for glob in globs:
        matched = {file for file in ROOT.glob(glob) if file.is_file() and "__pycache__" not in file.parts}
        if not matched:
            raise RayopsError(f"{listing.relative_to(ROOT)}: {glob} matches no file")
        found |= matched
    return sorted(found)


def wheels(name: str = "pipeline") -> Path:
    """Folder with every wheel of the image's lock files; complete or not there."""
    locks = [file for file in context_files(name) if file.suffix == ".txt" and file.name != "context.txt"]
    folder = CACHE / f"wheels-{content_hash(*locks)}"
    if folder.exists():
        return folder
    unfinished = folder.with_suffix(".unfinished")
    machine, python = platform.machine(), pin("PYTHON_VERSION")
    target = ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}"]
    target += [f"--platform=manylinux_2_{minor}_{machine}" for minor in reversed(GLIBC_MINORS)]
    target += [f"--platform=manylinux2014_{machine}"]
    for lock in locks:
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", "-d", str(unfinished)]
        proc.run([*pip, *target, "-r", lock], log=LOG, hint="the Python package index must be reachable once")
    unfinished.rename(folder)
    return folder


def _recipe(name: str) -> Path:
    return RECIPE.with_name(name)


def _own_base(name: str) -> str:
    gpu = name == "pipeline-gpu"
    packages = rootfs.PYTHON_GPU_PACKAGES if gpu else rootfs.PYTHON_PACKAGES
    return rootfs.ensure("python-gpu-base" if gpu else "python-base", packages)


def _build(name: str, reference: str, base: str, files: list[Path]) -> None:
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        context = Path(folder)
        for file in files:
            target = context / file.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, target)
        shutil.copytree(wheels(name), context / "wheels", copy_function=_link)
        dockerfile = context / _recipe(name).relative_to(ROOT) / "Dockerfile"
        options = ["-t", reference, "--build-arg", f"BASE_IMAGE={base}", "-f", str(dockerfile)]
        proc.run(["docker", "build", *options, context], log=LOG, env={"DOCKER_BUILDKIT": "0"})


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)
