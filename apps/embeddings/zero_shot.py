"""Labels of texts by the cosine of their embeddings; nothing is trained."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.common.onnx_text import Vectors


@dataclass(frozen=True, slots=True)
class Label:
    """What a text may be about; the description says it to the model, the name alone if there is none."""

    name: str
    description: str | None = None

    @property
    def text(self) -> str:
        """What is embedded."""
        return f"{self.name}: {self.description}" if self.description else self.name


def probabilities(
    texts: Vectors, labels: Vectors, *, multi_label: bool, temperature: float, threshold: float
) -> NDArray[np.float64]:
    """Return (texts, labels) from vectors of length 1: rows sum to 1, or with `multi_label` each is on its own.

    One label: softmax of the cosines divided by `temperature`. Many: a logistic curve of that steepness through 0.5 at
    a cosine of `threshold`. They order labels well and are not calibrated.
    """
    cosines = texts.astype(np.float64) @ labels.astype(np.float64).T
    if multi_label:
        return np.asarray(0.5 + 0.5 * np.tanh((cosines - threshold) / (2 * temperature)))
    scores = np.exp((cosines - cosines.max(axis=1, keepdims=True)) / temperature)
    return np.asarray(scores / scores.sum(axis=1, keepdims=True))
