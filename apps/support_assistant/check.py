"""One ticket in, one answer with its runbook, in one process: for the check of the image."""

from apps.common.deadline import Clock, Deadline
from apps.common.onnx_text import Embedder
from apps.common.paths import data_dir, models_dir
from apps.common.retrieval.rerank import make_reranker
from apps.support_assistant.answer import make_answerer
from apps.support_assistant.feedback import FeedbackLog
from apps.support_assistant.local import LocalSteps
from apps.support_assistant.pipeline import Pipeline
from apps.support_assistant.runbooks import RunbookIndex, warm_up
from apps.support_assistant.settings import SupportArgs

_TICKET = "about one in five calls comes back at once with\n\nHTTP/1.1 503 Service Unavailable\n\ntoken=abc-secret-1"
_RUNBOOK = "serve-queue-full-503.md"


async def check(args: SupportArgs | None = None) -> dict[str, object]:
    """Return the answer's runbook and the facts of the index.

    Raises:
        RuntimeError: the warm-up question finds nothing.
        AssertionError: the answer does not rest on the runbook about it, or tells a secret.
    """
    args = args or SupportArgs()
    models = models_dir(args.models)
    embedder = Embedder(models / args.embedder.model)
    index = RunbookIndex(args.corpus, data_dir(args.data), embedder.digest)
    warm_up(index, embedder, args.warm_up)
    steps = LocalSteps(
        embedder, index, make_reranker(args.reranker, models), make_answerer(args.generator), FeedbackLog(None, 10)
    )
    pipeline, deadline = Pipeline(steps), Deadline.after(60)
    found = await pipeline.find("customers see 503", _TICKET, None, None, None, deadline, Clock())
    answer = await pipeline.answer(found, deadline, Clock())
    document = found.nearest.chunk.document
    if not document.endswith(_RUNBOOK) or "**Fix**" not in answer or "abc-secret-1" in found.ticket.question:
        raise AssertionError(f"not the right answer, from {document}: {answer}")
    return {"runbook": document, "severity": found.ticket.severity, "index": index.info.digest}
