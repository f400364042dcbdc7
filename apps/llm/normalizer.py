"""The work, as a plain object: no Ray, no HTTP."""

from dataclasses import dataclass

from apps.common.language import Language, LanguageIdentifier
from apps.common.text import Counts, clean_document, plain_sentences


@dataclass(frozen=True, slots=True)
class Normalised:
    """A text in its normal form, and what was found in it."""

    text: str
    counts: Counts
    language: Language


class Normalizer:
    """Holds the language model. Thread-safe."""

    def __init__(self) -> None:
        self._languages = LanguageIdentifier()

    def normalise(self, text: str) -> Normalised:
        """Return `text` in Unicode's composed form (NFC), with `\\n` line ends and without control characters."""
        clean = clean_document(text)
        return Normalised(clean, Counts.of(clean, len(plain_sentences(clean))), self._languages.identify(clean))
