"""The first step: a text in its normal form, cut into sentences, with its language."""

from apps.common.errors import PipelineError
from apps.common.language import Language, LanguageIdentifier
from apps.common.text import Counts, clean_document, plain_sentences
from apps.text_analysis.types import Prepared


class Preprocessor:
    """Holds the language model. Thread-safe."""

    def __init__(self) -> None:
        self._languages = LanguageIdentifier()

    def prepare(self, text: str, language: str | None = None) -> Prepared:
        """Return the sentences, counts and language of `text`; a stated `language` is taken with confidence 1.

        Raises:
            PipelineError: 422 when nothing but white space and control characters is in it.
        """
        clean = clean_document(text)
        sentences = plain_sentences(clean)
        if not sentences:
            raise PipelineError(422, "validation", "must contain text", "text")
        found = Language(language, 1.0) if language else self._languages.identify(clean)
        return Prepared(sentences, Counts.of(clean, len(sentences)), found)
