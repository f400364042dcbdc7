"""The deployments. Each replica imports what it needs when it starts, so that every process stays small."""

import asyncio
from typing import Any

from starlette.types import ASGIApp

from apps.common.retrieval.replicas import GeneratorReplica, RerankerReplica, RetrieverReplica, VectorStoreReplica
from apps.common.serving import IngressReplica, Replica, deployment, late_ingress
from apps.common.settings import LimitArgs
from apps.common.text import clean_document, clean_question
from apps.rag.pipeline import Pipeline
from apps.rag.settings import IngressSettings
from apps.rag.steps import HandleSteps


class NormalizerReplica(Replica):
    """Unicode and white space of questions and documents."""

    async def question(self, text: str) -> str:
        """Return the question in its normal form, maybe empty."""
        return clean_question(text)

    async def document(self, text: str) -> str:
        """Return the document in its normal form; line numbers stay."""
        return await asyncio.to_thread(clean_document, text)


class RagIngress(IngressReplica):
    """HTTP in front of the pipeline; without Serve's wrapping, so that it can be used with any steps."""

    live = IngressSettings

    def __init__(self, limits: LimitArgs, normalizer: Any, retriever: Any, reranker: Any, generator: Any):
        self.limits = limits
        self.pipeline = Pipeline(HandleSteps(normalizer, retriever, reranker, generator))

    def configure(self, settings: IngressSettings) -> None:
        """Take live settings."""
        self.pipeline.settings = settings

    def asgi(self, *, echo_request_id: bool) -> ASGIApp:
        """Return the ASGI application of this replica."""
        from apps.rag.ingress import build_asgi

        return build_asgi(self.pipeline, self.limits, echo_request_id)


Normalizer = deployment(name="Normalizer")(NormalizerReplica)
VectorStore = deployment(name="VectorStore")(VectorStoreReplica)
Retriever = deployment(name="Retriever")(RetrieverReplica)
Reranker = deployment(name="Reranker")(RerankerReplica)
Generator = deployment(name="Generator")(GeneratorReplica)
Ingress = deployment(name="Ingress")(late_ingress(RagIngress))
