"""One text, in one process: for the check of the image."""

from dataclasses import asdict

from apps.llm.normalizer import Normalizer


async def check() -> dict[str, object]:
    """Return what was found in one text.

    Raises:
        AssertionError: it is not what is in the text.
    """
    found = Normalizer().normalise("Der Wombat landet mittags auf dem Mond.\r\nNiemand weiß warum.")
    if (found.language.code, found.counts.words, found.counts.lines) != ("de", 10, 2):
        raise AssertionError(f"not what is in the text: {found}")
    return asdict(found)
