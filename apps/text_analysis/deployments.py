"""The deployments. Each replica imports what it needs when it starts, so that every process stays small."""

import asyncio
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp

from apps.common.serving import IngressReplica, Replica, deployment, late_ingress
from apps.common.settings import EmbedderArgs, LimitArgs
from apps.text_analysis.pipeline import Pipeline
from apps.text_analysis.settings import IngressSettings, SummarySettings
from apps.text_analysis.steps import HandleSteps
from apps.text_analysis.types import Prepared, TextSentiment, TextSummary


class PreprocessorReplica(Replica):
    """Normal form, sentences and language of a text."""

    def __init__(self) -> None:
        from apps.text_analysis.preprocess import Preprocessor

        self._preprocessor = Preprocessor()

    async def prepare(self, text: str, language: str | None) -> Prepared:
        """Return the text's sentences, counts and language."""
        return await asyncio.to_thread(self._preprocessor.prepare, text, language)


class SentimentReplica(Replica):
    """The first branch."""

    def __init__(self) -> None:
        from apps.text_analysis.sentiment import SentimentAnalyzer

        self._analyzer = SentimentAnalyzer()

    async def analyze(self, sentences: list[str], language: str) -> TextSentiment:
        """Return the sentiment of a text."""
        return await asyncio.to_thread(self._analyzer.analyze, sentences, language)


class SummaryReplica(Replica):
    """The second branch, and the slower one: it embeds every sentence."""

    live = SummarySettings

    def __init__(self, args: EmbedderArgs, model: Path):
        from apps.common.gate import ProxyGate

        with ProxyGate.around_loading():
            from apps.common.onnx_text import Embedder
            from apps.text_analysis.summary import Summarizer

            self._summarizer = Summarizer(Embedder(model, args.threads, args.max_tokens, args.device))

    def configure(self, settings: SummarySettings) -> None:
        """Take live settings."""
        self._summarizer.settings = settings

    async def summarize(self, sentences: list[str], wanted: int) -> TextSummary:
        """Return the central sentences; cancelled, it stops after the batch that is in the encoder."""
        return await self._summarizer.summarize(sentences, wanted)


class TextAnalysisIngress(IngressReplica):
    """HTTP in front of the pipeline; without Serve's wrapping, so that it can be used with any steps."""

    live = IngressSettings

    def __init__(self, limits: LimitArgs, preprocessor: Any, sentiment: Any, summary: Any):
        self.limits = limits
        self.pipeline = Pipeline(HandleSteps(preprocessor, sentiment, summary))

    def configure(self, settings: IngressSettings) -> None:
        """Take live settings."""
        self.pipeline.settings = settings

    def asgi(self, *, echo_request_id: bool) -> ASGIApp:
        """Return the ASGI application of this replica."""
        from apps.text_analysis.ingress import build_asgi

        return build_asgi(self.pipeline, self.limits, echo_request_id)


Preprocessor = deployment(name="Preprocessor")(PreprocessorReplica)
Sentiment = deployment(name="Sentiment")(SentimentReplica)
Summary = deployment(name="Summary")(SummaryReplica)
Ingress = deployment(name="Ingress")(late_ingress(TextAnalysisIngress))
