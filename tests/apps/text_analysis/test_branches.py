"""The parts by themselves, on little texts whose truth is known."""

import asyncio
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from apps.common.errors import PipelineError
from apps.common.onnx_text import Embedder
from apps.common.settings import EmbedderArgs
from apps.text_analysis.deployments import SummaryReplica
from apps.text_analysis.preprocess import Preprocessor
from apps.text_analysis.sentiment import SentimentAnalyzer, label_of
from apps.text_analysis.settings import SummarySettings, TextAnalysisArgs
from apps.text_analysis.summary import Summarizer, centrality, distinct, spread

APP = Path(__file__).parents[3] / "apps/text_analysis"

LABELLED = {
    "positive": [
        "I love this phone, the screen is beautiful.",
        "The staff were friendly and very helpful.",
        "What a wonderful concert, we enjoyed every minute!",
        "Best coffee in town.",
        "The new update works great and feels fast.",
        "She was delighted with her present.",
        "A charming film with an excellent cast.",
        "We are happy to recommend this hotel.",
        "The kids had so much fun at the pool :)",
        "It is not bad at all, I like it.",
    ],
    "negative": [
        "The soup was cold and the waiter was rude.",
        "I hate the new design, it is ugly.",
        "My order arrived broken and nobody apologised.",
        "This is the worst service I have ever had.",
        "The film was boring and far too long.",
        "He was angry about the terrible noise.",
        "Do not buy this, it is a waste of money.",
        "The support was useless and I am very disappointed.",
        "The battery died after two days, awful.",
        "The crash killed three people.",
    ],
    "neutral": [
        "The train leaves at seven from platform two.",
        "The report has forty pages.",
        "Water boils at one hundred degrees at sea level.",
        "The meeting was moved to Tuesday.",
        "She put the keys on the table.",
        "The shop opens at nine and closes at six.",
        "There are twelve months in a year.",
        "The road turns left behind the church.",
        "He wrote the letter with a pencil.",
        "The box weighs two kilograms.",
    ],
}

# Three sentences are about the bridge as a whole; the others stand by themselves, and one says the same again.
BRIDGE = [
    "My neighbour grows tomatoes on her balcony.",
    "The old bridge over the river is closed for repairs until the summer.",
    "A new bakery opened near the station.",
    "Because the bridge over the river is closed, drivers must take a detour through the valley.",
    "The chess club meets on Thursdays.",
    "The old bridge over the river is closed for repairs until the summer!",
    "Repairs of the river bridge will cost the city three million euros.",
    "Penguins cannot fly.",
    "The library lends board games too.",
]
CENTRAL = {1, 3, 6}


@pytest.fixture(scope="module")
def analyzer() -> SentimentAnalyzer:
    return SentimentAnalyzer()


@pytest.fixture
def summarizer(embedder: Embedder) -> Summarizer:
    return Summarizer(embedder)


def test_sentiment_agrees_with_people(analyzer: SentimentAnalyzer) -> None:
    found = [(label, analyzer.analyze([text], "en").label) for label, texts in LABELLED.items() for text in texts]
    assert len(found) == 30
    assert sum(expected == given for expected, given in found) / len(found) >= 0.8, found


def test_the_extremes_are_sentences_of_the_text(analyzer: SentimentAnalyzer) -> None:
    texts = ["It rained.", "I love the garden.", "I love the wonderful garden!", "The food was awful."]
    found = analyzer.analyze(texts, "en")
    assert found.most_positive is not None
    assert found.most_negative is not None
    assert (found.most_positive.position, found.most_positive.text) == (2, texts[2])
    assert (found.most_negative.position, found.most_negative.text) == (3, texts[3])
    assert found.labels == {"positive": 2, "neutral": 1, "negative": 1}
    assert found.compound == pytest.approx(sum(analyzer.analyze([text], "en").compound for text in texts) / 4, abs=1e-3)


def test_a_neutral_text_has_no_extremes(analyzer: SentimentAnalyzer) -> None:
    found = analyzer.analyze(LABELLED["neutral"][:2], "en")
    assert (found.label, found.compound, found.most_positive, found.most_negative) == ("neutral", 0, None, None)


@pytest.mark.parametrize(
    ("compound", "label"),
    [(0.05, "positive"), (0.0499, "neutral"), (-0.0499, "neutral"), (-0.05, "negative"), (0, "neutral")],
)
def test_the_thresholds_are_those_of_the_paper(compound: float, label: str) -> None:
    assert label_of(compound) == label


@pytest.mark.parametrize("language", ["de", "und"])
def test_another_language_is_not_guessed(analyzer: SentimentAnalyzer, language: str) -> None:
    with pytest.raises(PipelineError, match=rf"\({language}\)") as caught:
        analyzer.analyze(["Sehr gut."], language)
    assert (caught.value.status, caught.value.kind, caught.value.field) == (422, "unsupported_language", "language")


@pytest.mark.parametrize("text", ["🤣😂" * 6000, "but good great awful " * 5000])
def test_a_hostile_sentence_takes_linear_time(analyzer: SentimentAnalyzer, text: str) -> None:
    started = time.process_time()
    assert analyzer.analyze([text], "en").label == "positive"
    assert time.process_time() - started < 10, "about a second; VADER alone takes a minute"


def test_a_long_sentence_is_cut_at_spaces_and_whole(analyzer: SentimentAnalyzer) -> None:
    for text in ("word " * 400, "x" * 1300, "x" * 600, "🤣" * 99, ""):
        parts = analyzer._parts(text)
        assert "".join(parts) == text
        assert all(len(part) <= 600 for part in parts)
    assert all(part.endswith(" ") for part in analyzer._parts("word " * 400))


def summarize(summarizer: Summarizer, sentences: list[str], wanted: int) -> Any:
    return asyncio.run(summarizer.summarize(sentences, wanted))


def test_a_summary_is_the_planted_central_sentences_in_order(summarizer: Summarizer) -> None:
    found = summarize(summarizer, BRIDGE, 3)
    assert [sentence.position for sentence in found.sentences] == sorted(CENTRAL)
    assert [sentence.text for sentence in found.sentences] == [BRIDGE[place] for place in sorted(CENTRAL)]
    assert max(sentence.centrality for sentence in found.sentences) == 1
    assert (found.compared, found.of, found.duplicates) == (9, 9, 1)


def test_what_is_said_twice_is_in_the_summary_once(summarizer: Summarizer) -> None:
    found = summarize(summarizer, BRIDGE, 9)
    assert 5 not in [sentence.position for sentence in found.sentences]
    summarizer.settings = SummarySettings(duplicate_cosine=1)
    assert len(summarize(summarizer, BRIDGE, 9).sentences) == 9


def test_a_repeated_sentence_is_no_more_central_for_it(summarizer: Summarizer) -> None:
    text = ["Penguins cannot fly."] * 8 + BRIDGE[:5] + BRIDGE[6:7]
    found = summarize(summarizer, text, 2)
    assert found.duplicates == 7
    assert all("bridge" in sentence.text for sentence in found.sentences)


def test_a_long_text_is_compared_in_part_and_says_so(summarizer: Summarizer) -> None:
    summarizer.settings = SummarySettings(most_sentences=10, batch=3)
    text = [f"Sentence about thing number {number} of many." for number in range(95)]
    found = summarize(summarizer, text, 10)
    assert (found.compared, found.of) == (10, 95)
    assert {sentence.position for sentence in found.sentences} <= set(spread(95, 10))


def test_one_sentence_is_its_own_summary(summarizer: Summarizer) -> None:
    found = summarize(summarizer, ["Alone."], 10)
    assert [(sentence.text, sentence.centrality) for sentence in found.sentences] == [("Alone.", 1.0)]


@pytest.mark.parametrize(
    ("count", "most", "expected"),
    [(1, 10, [0]), (4, 10, [0, 1, 2, 3]), (10, 4, [0, 3, 6, 9]), (200, 200, list(range(200)))],
)
def test_the_compared_are_spread_over_the_text(count: int, most: int, expected: list[int]) -> None:
    assert spread(count, most) == expected


def test_batches_give_the_rows_back_in_order(summarizer: Summarizer, embedder: Embedder) -> None:
    rows = asyncio.run(summarizer._embed(BRIDGE, 2))
    np.testing.assert_allclose(rows, embedder.embed(BRIDGE), atol=1e-5)


def test_centrality_is_the_stationary_distribution_of_the_walk() -> None:
    random = np.random.default_rng(3)
    vectors = np.abs(random.normal(size=(6, 4))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = vectors.astype(np.float64) @ vectors.T
    walk = 0.15 / 6 + 0.85 * cosines / cosines.sum(axis=1, keepdims=True)
    values, left = np.linalg.eig(walk.T)
    expected = np.abs(np.real(left[:, np.argmax(np.real(values))]))
    np.testing.assert_allclose(centrality(vectors), expected / expected.max(), atol=1e-6)


def test_opposites_are_unlike_not_negative() -> None:
    assert centrality(np.array([[1, 0], [-1, 0]], np.float32)).tolist() == [1, 1]


def test_the_first_of_like_ones_is_kept() -> None:
    vectors = np.array([[1, 0], [0, 1], [1, 0], [0.8, 0.6]], np.float32)
    assert distinct(vectors, 0.9) == [0, 1, 3]
    assert distinct(vectors, 0.75) == [0, 1]


def test_a_cancelled_summary_stops_after_its_batch(summarizer: Summarizer, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = []

    def embed(texts: list[str], batch: int) -> Any:
        batches.append(len(texts))
        time.sleep(0.1)
        return np.ones((len(texts), 2), np.float32)

    monkeypatch.setattr(summarizer._embedder, "embed", embed)
    summarizer.settings = SummarySettings(batch=1)

    async def leave() -> None:
        async with asyncio.timeout(0.25):
            await summarizer.summarize(BRIDGE, 3)

    with pytest.raises(TimeoutError):
        asyncio.run(leave())
    assert 1 < len(batches) < 5


@pytest.fixture(scope="module")
def preprocessor() -> Preprocessor:
    return Preprocessor()


def test_a_text_is_prepared(preprocessor: Preprocessor) -> None:
    found = preprocessor.prepare("The  cafe\u0301 opens\r\nat nine. Nobody knows why.\x00")
    assert found.sentences == ["The café opens at nine.", "Nobody knows why."]
    assert (found.counts.words, found.counts.sentences, found.counts.lines) == (8, 2, 2)
    assert found.language.code == "en"


def test_the_caller_may_know_the_language(preprocessor: Preprocessor) -> None:
    found = preprocessor.prepare("Hello.", "en").language
    assert (found.code, found.confidence) == ("en", 1)


@pytest.mark.parametrize("text", [" \n", "\u200b", "\x00\x07"])
def test_nothing_is_no_text(preprocessor: Preprocessor, text: str) -> None:
    with pytest.raises(PipelineError, match="must contain text"):
        preprocessor.prepare(text)


def test_a_summary_replica_takes_its_settings(model: Path) -> None:
    replica = SummaryReplica(EmbedderArgs(max_tokens=128), model)
    replica.reconfigure({"duplicate_cosine": 1, "batch": 2})
    found = asyncio.run(replica.summarize(BRIDGE, 9))
    assert (len(found.sentences), found.duplicates) == (9, 0)
    with pytest.raises(ValueError, match="duplicate_cosine"):
        replica.reconfigure({"duplicate_cosine": 2})


def test_the_gpu_variant_refuses_a_runtime_without_cuda(model: Path) -> None:
    (config,) = yaml.safe_load((APP / "gpu/serve.yaml").read_text())["applications"]
    args = TextAnalysisArgs(**config["args"])
    assert (args.embedder.device, args.embedder.max_tokens) == ("cuda", TextAnalysisArgs().embedder.max_tokens)
    with pytest.raises(RuntimeError, match="pipeline-gpu"):
        SummaryReplica(args.embedder, model)
