"""What travels between the deployments: small, picklable, without behaviour. Positions count sentences from 0."""

from dataclasses import dataclass
from typing import Literal

from apps.common.language import Language
from apps.common.text import Counts

Label = Literal["positive", "neutral", "negative"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A text that is ready for the branches: at least one sentence."""

    sentences: list[str]
    counts: Counts
    language: Language


@dataclass(frozen=True, slots=True)
class ScoredSentence:
    """A sentence and its sentiment, -1 (negative) to 1 (positive)."""

    text: str
    position: int
    compound: float


@dataclass(frozen=True, slots=True)
class TextSentiment:
    """The sentiment of a text. compound: mean over its sentences; labels: how many sentences have each label."""

    label: Label
    compound: float
    labels: dict[Label, int]
    most_positive: ScoredSentence | None
    most_negative: ScoredSentence | None


@dataclass(frozen=True, slots=True)
class CentralSentence:
    """A sentence of the summary. centrality: 0 to 1, where 1 is the most central sentence of the text."""

    text: str
    position: int
    centrality: float


@dataclass(frozen=True, slots=True)
class TextSummary:
    """The central sentences in the order of the text.

    compared: sentences that were embedded and compared; fewer than `of`, those of the text, when it was too long.
    duplicates: of the compared, those left out because an earlier one says the same.
    """

    sentences: list[CentralSentence]
    compared: int
    of: int
    duplicates: int
