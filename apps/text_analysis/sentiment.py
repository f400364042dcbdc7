"""Sentiment by the VADER lexicon and its rules.

Hutto and Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text", ICWSM 2014,
https://doi.org/10.1609/icwsm.v8i1.14550. It scores one sentence; a text is the mean of its sentences, because the score
of a long text taken as one sentence goes to 1 or -1 whatever it says.
"""

from collections import Counter
from collections.abc import Sequence

from apps.common.errors import PipelineError
from apps.text_analysis.types import Label, ScoredSentence, TextSentiment

LANGUAGE = "en"
# The thresholds of the paper.
_NEUTRAL_BELOW = 0.05
# VADER takes quadratic time in the words of a sentence, and reads an emoji as several. A longer sentence (80 words or
# so) is scored in parts, so that the time stays linear: seconds for the longest text, whatever is in it.
_PART_CHARACTERS = 500
_EMOJI_CHARACTERS = 25


class SentimentAnalyzer:
    """Holds the lexicon. Thread-safe."""

    def __init__(self) -> None:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

        self._vader = SentimentIntensityAnalyzer()

    def analyze(self, sentences: Sequence[str], language: str) -> TextSentiment:
        """Return the sentiment of one or more sentences of a text in `language`.

        Raises:
            PipelineError: 422, the language is not English.
        """
        if language != LANGUAGE:
            message = (
                f"the lexicon is English and the text is not, as far as can be told ({language}); "
                'when it is, say "language": "en"'
            )
            raise PipelineError(422, "unsupported_language", message, "language")
        scored = [
            ScoredSentence(text, position, round(self._score(text), 4)) for position, text in enumerate(sentences)
        ]
        mean = sum(sentence.compound for sentence in scored) / len(scored)
        counted = Counter(label_of(sentence.compound) for sentence in scored)
        best, worst = (choose(scored, key=lambda sentence: sentence.compound) for choose in (max, min))
        return TextSentiment(
            label=label_of(mean),
            compound=round(mean, 4),
            labels={"positive": counted["positive"], "neutral": counted["neutral"], "negative": counted["negative"]},
            most_positive=best if label_of(best.compound) == "positive" else None,
            most_negative=worst if label_of(worst.compound) == "negative" else None,
        )

    def _score(self, sentence: str) -> float:
        parts = self._parts(sentence)
        return sum(float(self._vader.polarity_scores(part)["compound"]) for part in parts) / len(parts)

    def _parts(self, sentence: str) -> list[str]:
        parts, start, size = [], 0, 0
        for number, character in enumerate(sentence, start=1):
            size += _EMOJI_CHARACTERS if character in self._vader.emojis else 1
            # At a space where there is one soon.
            if size >= _PART_CHARACTERS and (character == " " or size >= 1.2 * _PART_CHARACTERS):
                parts.append(sentence[start:number])
                start, size = number, 0
        return parts if start == len(sentence) else [*parts, sentence[start:]]


def label_of(compound: float) -> Label:
    """Return the label of a score."""
    if abs(compound) < _NEUTRAL_BELOW:
        return "neutral"
    return "positive" if compound > 0 else "negative"
