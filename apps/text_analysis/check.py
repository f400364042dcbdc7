"""One text analysed, in one process: for the check of the image."""

from dataclasses import asdict

from apps.common.deadline import Deadline
from apps.common.onnx_text import Embedder
from apps.common.paths import models_dir
from apps.text_analysis.pipeline import Job, Pipeline
from apps.text_analysis.preprocess import Preprocessor
from apps.text_analysis.sentiment import SentimentAnalyzer
from apps.text_analysis.settings import TextAnalysisArgs
from apps.text_analysis.steps import LocalSteps
from apps.text_analysis.summary import Summarizer

TEXT = (
    "The new bridge over the river opened on Monday. I love the wide bridge and its wonderful view over the river. "
    "My aunt keeps bees. The bridge over the river is open day and night."
)


async def check() -> dict[str, object]:
    """Return the analysis of a small text.

    Raises:
        AssertionError: it is not what is in the text.
    """
    args = TextAnalysisArgs()
    embedder = Embedder(models_dir(args.models) / args.embedder.model, max_tokens=args.embedder.max_tokens)
    pipeline = Pipeline(LocalSteps(Preprocessor(), SentimentAnalyzer(), Summarizer(embedder)))
    found = await pipeline.analyze(Job(TEXT, sentences=1), Deadline.after(60), "check")
    sentiment, summary = found.sentiment, found.summary
    if not sentiment or not summary or sentiment.label != "positive" or "bridge" not in summary.sentences[0].text:
        raise AssertionError(f"not what is in the text: {found}")
    return {"sentiment": asdict(sentiment), "summary": asdict(summary)}
