"""One document in, one question, one answer, in one process: for the check of the image."""

from apps.common.deadline import Clock, Deadline
from apps.common.onnx_text import Embedder
from apps.common.paths import data_dir, models_dir
from apps.common.retrieval.generate import make_generator
from apps.common.retrieval.rerank import make_reranker
from apps.common.retrieval.search import SearchService, open_store
from apps.rag.pipeline import Pipeline
from apps.rag.settings import RagArgs
from apps.rag.steps import LocalSteps


async def check() -> dict[str, object]:
    """Return the answer and the facts of the index.

    Raises:
        AssertionError: the answer is not the one in the document.
    """
    args = RagArgs()
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
