"""The replicas. Each imports what it needs when it starts, and answers a real question before it is ready."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from apps.common.retrieval.replicas import EmbeddingReplica, GeneratorReplica, RerankerReplica
from apps.common.retrieval.settings import RerankerArgs
from apps.common.retrieval.types import Chunk, Hit, Retrieved
from apps.common.serving import Replica
from apps.common.settings import EmbedderArgs
from apps.support_assistant.feedback import FeedbackLog, Section, Stored, Summary, Verdict
from apps.support_assistant.redaction import redact
from apps.support_assistant.settings import AnswerArgs, CorpusArgs, FeedbackArgs, WarmUpArgs
from apps.support_assistant.severity import Severity
from apps.support_assistant.ticket import Ticket, understand

if TYPE_CHECKING:
    from apps.support_assistant.vllm_server import VllmServer

# What Reranker and AnswerGenerator are asked about before the index is asked for anything: a runbook in small.
WARM_UP_HITS = [
    Hit(
        Chunk("warm-up.md", "Cause: more requests than replicas", 3, 3, "The queue is full, so requests get 503."), 0.9
    ),
    Hit(Chunk("warm-up.md", "Fix: add replicas", 7, 7, "Raise the number of replicas of the slow deployment."), 0.5),
]


class TicketNormalizerReplica(Replica):
    """Reads tickets: secrets out, mail clutter out, evidence and severity."""

    async def understand(
        self, subject: str, description: str, component: str | None, severity: Severity | None
    ) -> Ticket:
        """Return what the ticket says; nothing in it is secret."""
        return await asyncio.to_thread(understand, subject, description, component, severity)

    async def redact(self, text: str) -> str:
        """Return `text` without secrets."""
        (clean,), _ = await asyncio.to_thread(redact, text)
        return clean


class RunbookRetrieverReplica(EmbeddingReplica):
    """Embeds questions in batches and searches its own copy of the runbooks.

    Raises:
        ValueError: from the constructor: the index holds no runbook, or is of another model.
        RuntimeError: from the constructor: the warm-up question finds nothing near it.
    """

    def __init__(self, args: EmbedderArgs, corpus: CorpusArgs, warm: WarmUpArgs, model: Path, data: Path):
        from apps.common.gate import ProxyGate

        with ProxyGate.around_loading():
            from apps.common.onnx_text import Embedder
            from apps.support_assistant.runbooks import RunbookIndex, warm_up

            self._embedder = Embedder(model, args.threads, args.max_tokens, args.device)
            self._index = RunbookIndex(corpus, data, self._embedder.digest)
            warm_up(self._index, self._embedder, warm)

    async def retrieve(self, question: str, runbooks: int) -> Retrieved:
        """Return every passage of the nearest `runbooks` runbooks, nearest passage first."""
        vector = await self.embed(self._embedder.tokenize([question])[0])
        return self._index.search(vector, runbooks)


class TicketRerankerReplica(RerankerReplica):
    """Orders the passages by what the ticket says.

    Raises:
        RuntimeError: from the constructor: the warm-up passages get no usable scores.
    """

    def __init__(self, args: RerankerArgs, warm: WarmUpArgs, models: Path):
        super().__init__(args, models)
        import math

        ranked = self._reranker.rerank(warm.question, WARM_UP_HITS, len(WARM_UP_HITS))
        if len(ranked) != len(WARM_UP_HITS) or not all(math.isfinite(hit.score) for hit in ranked):
            raise RuntimeError(f"warm-up: the reranker ({args.kind}) gives {[hit.score for hit in ranked]} as scores")


class AnswerGeneratorReplica(GeneratorReplica):
    """Makes the answer from the sections.

    Raises:
        RuntimeError: from the constructor: vLLM does not start, or the warm-up question gets no answer.
    """

    _server: "VllmServer | None" = None

    def __init__(self, args: AnswerArgs, warm: WarmUpArgs):
        from apps.support_assistant.answer import make_answerer, warm_up

        if args.server is not None:
            from apps.support_assistant.vllm_server import VllmServer

            self._server = VllmServer(args.model, args.server)
            args = args.model_copy(update={"base_url": self._server.url})
        try:
            # The constructor runs inside the replica's event loop: the trial, with a generator of its own, has another.
            with ThreadPoolExecutor(1) as apart:
                apart.submit(asyncio.run, warm_up(args, warm, WARM_UP_HITS)).result()
        except BaseException:
            # Serve makes the next replica at once, and it needs the GPU.
            self._stop()
            raise
        self._generator = make_answerer(args)

    def check_health(self) -> None:
        """Serve asks this every ten seconds, and replaces a replica that raises: one whose server has ended."""
        if self._server is not None:
            self._server.check()

    def __del__(self) -> None:
        """Stop the server; Serve calls this when the replica stops."""
        self._stop()

    def _stop(self) -> None:
        if self._server is not None:
            self._server.close()


class FeedbackStoreReplica(Replica):
    """The only writer of answers and feedback: one replica."""

    def __init__(self, args: FeedbackArgs):
        self._log = FeedbackLog(args.path, args.keep_answers)
        self._one_at_a_time = asyncio.Lock()

    async def answered(self, answer_id: str, sections: list[Section]) -> None:
        """Note an answer and the sections that it cites."""
        async with self._one_at_a_time:
            await asyncio.to_thread(self._log.answered, answer_id, sections)

    async def judge(self, answer_id: str, verdict: Verdict) -> Stored:
        """Store a verdict; a PipelineError (404) says that nobody remembers the answer."""
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._log.judge, answer_id, verdict)

    async def summary(self) -> Summary:
        """Return the counts."""
        async with self._one_at_a_time:
            return self._log.summary()

    def __del__(self) -> None:
        """Close the file; Serve calls this when the replica stops."""
        if hasattr(self, "_log"):
            self._log.close()
