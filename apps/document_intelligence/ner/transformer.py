"""Persons, organisations and places by a BERT with a label for each token, exported by apps.common.onnx_bert."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from apps.common.onnx_text import OnnxText
from apps.common.settings import Device
from apps.document_intelligence.ner.entities import EntityKind, Span

# The labels of CoNLL-2003, which nearly every such model has.
_KINDS: dict[str, EntityKind] = {"PER": "person", "ORG": "organisation", "LOC": "place"}
# What the model reads at once, in characters: below its tokens for any text but the strangest; parts end at a line.
_PART = 800
_BATCH = 8


class TransformerNames:
    """Runs the model over a text of any length.

    Raises:
        FileNotFoundError: the folder is not an exported model.
        ValueError: the model has no label per token.
    """

    def __init__(self, folder: Path, threads: int, device: Device):
        self._model = OnnxText(folder, threads, max_tokens=512, device=device)
        self._labels: list[str] = self._model.description.get("labels", [])
        if not self._labels:
            raise ValueError(f"ner.model: {folder} has no labels; export it with --head tokens")

    def spans(self, text: str) -> list[Span]:
        """Return the names in `text`; the confidence is the mean probability of the tokens."""
        parts = list(_parts(text))
        return [
            span for first in range(0, len(parts), _BATCH) for span in self._batch(text, parts[first : first + _BATCH])
        ]

    def _batch(self, text: str, parts: list[tuple[int, int]]) -> Iterator[Span]:
        encodings = self._model.encode([text[start:end] for start, end in parts])
        logits = self._model.run([encoding.ids for encoding in encodings])
        shares = np.exp(logits - logits.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        for (start, _), encoding, rows in zip(parts, encodings, shares, strict=True):
            tokens: list[tuple[int, int, str, float]] = []
            for (first, last), special, row in zip(encoding.offsets, encoding.special_tokens_mask, rows, strict=False):
                if not special and last > first:
                    best = int(row.argmax())
                    tokens.append((start + first, start + last, self._labels[best], float(row[best])))
            yield from _joined(text, tokens)


def _parts(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    while start < len(text):
        end = min(len(text), start + _PART)
        if end < len(text):
            end = max(text.rfind("\n", start, end), text.rfind(" ", start, end)) + 1 or end
            end = end if end > start else start + _PART
        yield start, end
        start = end


def _joined(text: str, tokens: list[tuple[int, int, str, float]]) -> Iterator[Span]:
    """Join tokens of one kind: `B-` begins a name, `I-` goes on; word pieces touch each other."""
    held: list[tuple[int, int, str, float]] = []
    for token in [*tokens, (0, 0, "O", 0.0)]:
        kind = token[2].removeprefix("B-").removeprefix("I-")
        touches = bool(held) and token[0] == held[-1][1]
        goes_on = bool(held) and kind == held[0][2] and (touches or not token[2].startswith("B-"))
        if goes_on and "\n" not in text[held[-1][1] : token[0]]:
            held.append((*token[:2], kind, token[3]))
            continue
        if held and held[0][2] in _KINDS:
            start, end = held[0][0], held[-1][1]
            confidence = sum(each[3] for each in held) / len(held)
            yield Span(start, end, _KINDS[held[0][2]], round(confidence, 3), text[start:end])
        held = [(*token[:2], kind, token[3])] if kind in _KINDS else []
