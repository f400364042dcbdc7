"""The typed application builder that serve.yaml names: `apps.support_assistant.app:build_app`.

No `from __future__ import annotations` here: Serve reads the annotation of `args` to validate the arguments.
"""

from typing import Any

from apps.common.paths import data_dir, models_dir
from apps.support_assistant.deployments import (
    AnswerGenerator,
    FeedbackStore,
    Ingress,
    Reranker,
    RunbookRetriever,
    TicketNormalizer,
)
from apps.support_assistant.settings import SupportArgs


def build_app(args: SupportArgs) -> Any:
    """Return the Serve application for `args`; replicas find models and index when they start."""
    models, data = models_dir(args.models), data_dir(args.data)
    return Ingress.bind(
        args.limits,
        TicketNormalizer.bind(),
        RunbookRetriever.bind(args.embedder, args.corpus, args.warm_up, models / args.embedder.model, data),
        Reranker.bind(args.reranker, args.warm_up, models),
        AnswerGenerator.bind(args.generator, args.warm_up),
        FeedbackStore.bind(args.feedback),
    )
