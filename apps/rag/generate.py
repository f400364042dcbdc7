"""Make an answer from the sources: by extraction here, by a language model in `generate_openai`."""

from collections.abc import AsyncIterator
from typing import Protocol

from apps.rag.settings import GeneratorArgs, GeneratorSettings
from apps.rag.text import sentences, terms
from apps.rag.types import Hit

# A source takes part in the answer when its score is at least this share of the best one.
_RELEVANT = 0.4
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
        wanted = set(terms(question))
        scored: dict[str, tuple[float, int, int]] = {}
        enough = _RELEVANT * hits[0].score if hits else 0.0
        for source, hit in enumerate(hits, 1):
            if 0 < hit.score < enough:
                continue
            heading = set(terms(hit.chunk.section)) & wanted
            for place, sentence in enumerate(sentences(hit.chunk.text)):
                words = set(terms(sentence))
                shared = len(wanted & words) + 0.5 * len(heading - words)
                # A long sentence shares words by chance; the first ones of a passage say what it is about.
                score = hit.score * (0.3 + shared) / (5 + len(words)) ** 0.5 / (1 + 0.05 * place)
                scored.setdefault(sentence, (score, source, place))
        best = sorted(scored, key=lambda sentence: -scored[sentence][0])[: self._settings.sentences]
        best.sort(key=lambda sentence: scored[sentence][1:])
        return [(scored[sentence][1], sentence) for sentence in best]


def make_generator(args: GeneratorArgs) -> Generator:
    """Return the generator that `args` names."""
    if args.kind == "openai":
        from apps.rag.generate_openai import OpenAIGenerator

        return OpenAIGenerator(args)
    return ExtractiveGenerator()
