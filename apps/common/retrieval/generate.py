"""Make an answer from the sources: by extraction here, by a language model in `generate_openai`."""

from collections.abc import AsyncIterator
from typing import Protocol

from apps.common.retrieval.settings import GeneratorArgs, GeneratorSettings
from apps.common.retrieval.types import Hit
from apps.common.text import lexical_scores, sentences

# A source takes part in the answer when its score is at least this share of the best one.
_RELEVANT = 0.5
# A sentence with fewer words ("Accepted, November 2026.") answers nothing, unless there is no other.
_WORDS = 4
# What a sentence is worth that shares no word with the question, and how much less each one further down a passage.
_BASE, _FADING = 0.3, 0.1
NOTHING_FOUND = "The documents do not say anything about this."


class Generator(Protocol):
    """Answers a question from its sources; `[1]` in an answer means the first source."""

    def stream(self, question: str, hits: list[Hit], timeout_s: float) -> AsyncIterator[str]:
        """Yield the answer in pieces, within `timeout_s` seconds."""

    def configure(self, settings: GeneratorSettings) -> None:
        """Take new live settings."""


class ExtractiveGenerator:
    """The sentences of the sources that share most words with the question, each with its source."""

    def __init__(self) -> None:
        self._settings = GeneratorSettings()

    def configure(self, settings: GeneratorSettings) -> None:
        """Take a new number of sentences."""
        self._settings = settings

    async def stream(self, question: str, hits: list[Hit], timeout_s: float) -> AsyncIterator[str]:  # noqa: ARG002
        """Yield one sentence after the other."""
        chosen = self._choose(question, hits)
        for number, (source, sentence) in enumerate(chosen):
            yield f"{' ' if number else ''}{sentence} [{source}]"
        if not chosen:
            yield NOTHING_FOUND

    def _choose(self, question: str, hits: list[Hit]) -> list[tuple[int, str]]:
        enough = _RELEVANT * hits[0].score if hits else 0.0
        candidates = [
            (source, place, sentence)
            for source, hit in enumerate(hits, 1)
            if hit.score <= 0 or hit.score >= enough
            for place, sentence in enumerate(sentences(hit.chunk.text))
        ]
        full = [candidate for candidate in candidates if len(candidate[2].split()) >= _WORDS] or candidates
        # The heading says what the sentences below it are about, so it counts as part of each.
        texts = [f"{hits[source - 1].chunk.section} {sentence}" for source, _, sentence in full]
        words = lexical_scores(question, texts)
        ranked = sorted(
            zip(full, words, strict=True),
            key=lambda pair: -hits[pair[0][0] - 1].score * (_BASE + pair[1]) / (1 + _FADING * pair[0][1]),
        )
        chosen = list(dict.fromkeys(candidate for candidate, _ in ranked))[: self._settings.sentences]
        return [(source, sentence) for source, _, sentence in sorted(chosen)]


def make_generator(args: GeneratorArgs) -> Generator:
    """Return the generator that `args` names."""
    if args.kind == "openai":
        from apps.common.retrieval.generate_openai import OpenAIGenerator

        return OpenAIGenerator(args)
    return ExtractiveGenerator()
