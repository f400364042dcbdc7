"""The steps of the pipeline behind Serve handles, and the same in one process."""

import asyncio
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from apps.common.calls import call, readiness
from apps.text_analysis.types import Prepared, TextSentiment, TextSummary

if TYPE_CHECKING:
    from apps.text_analysis.preprocess import Preprocessor
    from apps.text_analysis.sentiment import SentimentAnalyzer
    from apps.text_analysis.summary import Summarizer


@dataclass(frozen=True, slots=True)
class HandleSteps:
    """Steps as deployments of one Serve application; each field is a DeploymentHandle."""

    preprocessor_handle: Any
    sentiment_handle: Any
    summary_handle: Any

    async def prepare(self, text: str, language: str | None) -> Prepared:
        """Ask the Preprocessor."""
        found: Prepared = await call(self.preprocessor_handle.prepare.remote, text, language)
        return found

    async def sentiment(self, sentences: list[str], language: str) -> TextSentiment:
        """Ask the Sentiment."""
        found: TextSentiment = await call(self.sentiment_handle.analyze.remote, sentences, language)
        return found

    async def summary(self, sentences: list[str], wanted: int) -> TextSummary:
        """Ask the Summary."""
        found: TextSummary = await call(self.summary_handle.summarize.remote, sentences, wanted)
        return found

    async def ready(self, timeout_s: float) -> dict[str, str]:
        """Ask every deployment."""
        parts = {field.name.removesuffix("_handle"): getattr(self, field.name) for field in fields(self)}
        return await readiness(parts, timeout_s)


@dataclass(frozen=True, slots=True)
class LocalSteps:
    """The same steps as plain objects of one process."""

    preprocessor: "Preprocessor"
    analyzer: "SentimentAnalyzer"
    summarizer: "Summarizer"

    async def prepare(self, text: str, language: str | None) -> Prepared:
        """Prepare here."""
        return await asyncio.to_thread(self.preprocessor.prepare, text, language)

    async def sentiment(self, sentences: list[str], language: str) -> TextSentiment:
        """Analyse here."""
        return await asyncio.to_thread(self.analyzer.analyze, sentences, language)

    async def summary(self, sentences: list[str], wanted: int) -> TextSummary:
        """Summarise here."""
        return await self.summarizer.summarize(sentences, wanted)

    async def ready(self, timeout_s: float) -> dict[str, str]:  # noqa: ARG002
        """Everything is here."""
        return {}
