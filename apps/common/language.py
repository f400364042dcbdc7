"""Which language a text is in.

The model is py3langid's: naive Bayes over byte n-grams, 140 languages (Lui and Baldwin, "langid.py: An Off-the-shelf
Language Identification Tool", ACL 2012, https://aclanthology.org/P12-3005).
"""

from dataclasses import dataclass

# ISO 639-2 for "undetermined".
UNDETERMINED = "und"
# The start of a text tells its language; more only costs time and, when it repeats itself, confidence.
CHARACTERS = 4000


@dataclass(frozen=True, slots=True)
class Language:
    """An ISO 639 code and how probable it is, 0 to 1. The shorter the text, the lower and the less worth both are."""

    code: str
    confidence: float


class LanguageIdentifier:
    """Holds the model: about 100 MB, and a second or two to load. Thread-safe."""

    def __init__(self) -> None:
        from py3langid import langid

        self._model = langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)

    def identify(self, text: str) -> Language:
        """Return the language of `text`: "und" with confidence 0 when there is no letter in it."""
        start = text[:CHARACTERS]
        if not any(character.isalpha() for character in start):
            return Language(UNDETERMINED, 0.0)
        code, confidence = self._model.classify(start)
        return Language(code, round(confidence, 4))
