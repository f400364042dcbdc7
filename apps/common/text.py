"""Text in: normalisation, counts, words, sentences, and the lexical score of passages."""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_WORD = re.compile(r"\w+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9`*\"(])")
_MARKUP = re.compile(r"^\s*(?:[-*+]|\d+[.)]|>|#{1,6})\s+")
_COUNTED_WORD = re.compile(r"\w+(?:['’-]\w+)*")  # noqa: RUF001
_BLANK_LINES = re.compile(r"\n[ \t]*\n")
# The end of a sentence in a paragraph of single spaces: its mark, quotes and brackets that close, a space; after a mark
# of Chinese and Japanese none. It begins where a run of marks does and gives nothing back, so it takes linear time.
_MARKS, _WIDE_MARKS = ".!?…", "。！？"  # noqa: RUF001
_PLAIN_END = re.compile(
    rf"(?<![{_MARKS}])[{_MARKS}]++[\"'”’»)\]]*+ |(?<![{_WIDE_MARKS}])[{_WIDE_MARKS}]++[」』”’)]*+ ?"  # noqa: RUF001
)
_ABBREVIATIONS = frozenset("mr mrs ms dr prof st sr jr vs fig inc ltd co corp approx e.g i.e cf al".split())
_LONGEST_ABBREVIATION = 8
_STOP = frozenset(
    [
        *("a", "an", "and", "are", "as", "at", "be", "but", "by", "can", "do", "does", "for", "from", "had", "has"),
        *(
            "have",
            "how",
            "i",
            "if",
            "in",
            "into",
            "is",
            "it",
            "its",
            "may",
            "me",
            "must",
            "my",
            "no",
            "not",
            "of",
            "on",
        ),
        *("or", "should", "so", "than", "that", "the", "their", "then", "there", "these", "they", "this", "to", "us"),
        *("was", "we", "what", "when", "where", "which", "who", "why", "will", "with", "you", "your"),
    ]
)
# The usual BM25 constants (Robertson and Zaragoza, 2009, https://doi.org/10.1561/1500000019).
_K1, _B = 1.2, 0.75


def clean_question(text: str) -> str:
    """Return `text` in NFKC without control and format characters, white space collapsed; may be empty."""
    kept = "".join(" " if _is_control(character) else character for character in unicodedata.normalize("NFKC", text))
    return " ".join(kept.split())


def clean_document(text: str) -> str:
    """Return `text` in NFC with `\\n` line ends and without control characters; the lines stay where they were."""
    lines = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n")).split("\n")
    return "\n".join("".join(c for c in line if c == "\t" or not _is_control(c)).rstrip() for line in lines)


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn"}


def terms(text: str) -> list[str]:
    """Return the words that carry meaning, lower case, with English plural and verb endings cut."""
    return [_stem(word) for word in _WORD.findall(text.lower().replace("_", " ")) if word not in _STOP]


def _stem(word: str) -> str:
    for ending in ("ing", "ies", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def lexical_scores(question: str, passages: Sequence[str]) -> list[float]:
    """Return the BM25 score of each passage among `passages`, divided by the best: 0 to 1."""
    wanted = set(terms(question))
    counts = [Counter(terms(passage)) for passage in passages]
    lengths = [sum(count.values()) for count in counts]
    mean = sum(lengths) / len(lengths) if any(lengths) else 1.0
    found = {word: sum(word in count for count in counts) for word in wanted}
    rarity = {word: math.log(1 + (len(counts) - n + 0.5) / (n + 0.5)) for word, n in found.items()}
    scores = [
        sum(
            rarity[word] * count[word] * (_K1 + 1) / (count[word] + _K1 * (1 - _B + _B * length / mean))
            for word in wanted & count.keys()
        )
        for count, length in zip(counts, lengths, strict=True)
    ]
    best = max(scores, default=0.0)
    return [score / best for score in scores] if best else scores


def sentences(passage: str) -> list[str]:
    """Return the sentences of a Markdown passage without list and quote marks; code blocks and tables are left out."""
    paragraphs: list[list[str]] = [[]]
    fenced = False
    for line in passage.splitlines():
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
        elif fenced or line.lstrip().startswith("|"):
            continue
        elif not line.strip() or _MARKUP.match(line):
            paragraphs.append([_MARKUP.sub("", line)])
        else:
            paragraphs[-1].append(line)
    joined = (" ".join(" ".join(lines).split()) for lines in paragraphs)
    return [part for paragraph in joined for part in _SENTENCE_END.split(paragraph) if part]


def plain_sentences(text: str) -> list[str]:
    """Return the sentences of plain text, white space collapsed. A blank line ends a sentence, a line end does not.

    A full stop ends none after an abbreviation, after an initial ("J. Doe") and before a small letter.
    """
    paragraphs = (" ".join(paragraph.split()) for paragraph in _BLANK_LINES.split(text))
    return [sentence for paragraph in paragraphs for sentence in _split(paragraph)]


def _split(paragraph: str) -> Iterator[str]:
    start = 0
    for end in _PLAIN_END.finditer(paragraph):
        # One full stop and its space: more marks, or closing quotes, end a sentence whatever stands before them.
        stop = end[0] == ". "
        word = (
            paragraph[max(start, end.start() - _LONGEST_ABBREVIATION) : end.start()].rpartition(" ")[2].lstrip("(\"'“")
        )
        if paragraph[end.end() : end.end() + 1].islower() or (stop and _abbreviated(word)):
            continue
        yield paragraph[start : end.end()].rstrip()
        start = end.end()
    if start < len(paragraph):
        yield paragraph[start:]


def _abbreviated(word: str) -> bool:
    return word.lower() in _ABBREVIATIONS or (len(word) == 1 and word.isupper() and word != "I")


@dataclass(frozen=True, slots=True)
class Counts:
    """The size of a text. characters: code points. words: runs of letters and digits, so don't and e-mail are one."""

    characters: int
    words: int
    sentences: int
    lines: int

    @classmethod
    def of(cls, text: str, sentences: int) -> "Counts":
        """Count `text`, of whose sentences the number is known."""
        lines = text.removesuffix("\n").count("\n") + 1 if text else 0
        return cls(len(text), sum(1 for _ in _COUNTED_WORD.finditer(text)), sentences, lines)
