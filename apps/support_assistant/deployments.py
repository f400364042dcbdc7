"""The deployments."""

from typing import Any

from starlette.types import ASGIApp

from apps.common.serving import IngressReplica, deployment, late_ingress
from apps.common.settings import LimitArgs
from apps.support_assistant.pipeline import Pipeline
from apps.support_assistant.replicas import (
    AnswerGeneratorReplica,
    FeedbackStoreReplica,
    RunbookRetrieverReplica,
    TicketNormalizerReplica,
    TicketRerankerReplica,
)
from apps.support_assistant.settings import IngressSettings
from apps.support_assistant.steps import HandleSteps


class SupportIngress(IngressReplica):
    """HTTP in front of the pipeline; without Serve's wrapping, so that it can be used with any steps."""

    live = IngressSettings

    def __init__(
        self, limits: LimitArgs, normalizer: Any, retriever: Any, reranker: Any, generator: Any, feedback: Any
    ):
        self.limits = limits
        self.pipeline = Pipeline(HandleSteps(normalizer, retriever, reranker, generator, feedback))

    def configure(self, settings: IngressSettings) -> None:
        """Take live settings."""
        self.pipeline.settings = settings

    def asgi(self, *, echo_request_id: bool) -> ASGIApp:
        """Return the ASGI application of this replica."""
        from apps.support_assistant.ingress import build_asgi

        return build_asgi(self.pipeline, self.limits, echo_request_id)


TicketNormalizer = deployment(name="TicketNormalizer")(TicketNormalizerReplica)
RunbookRetriever = deployment(name="RunbookRetriever")(RunbookRetrieverReplica)
Reranker = deployment(name="Reranker")(TicketRerankerReplica)
AnswerGenerator = deployment(name="AnswerGenerator")(AnswerGeneratorReplica)
FeedbackStore = deployment(name="FeedbackStore")(FeedbackStoreReplica)
Ingress = deployment(name="Ingress")(late_ingress(SupportIngress))
