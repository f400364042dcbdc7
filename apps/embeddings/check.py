"""Both models and a classification, in one process: for the check of the image."""

from apps.common.paths import models_dir
from apps.embeddings.encoder import Encoder
from apps.embeddings.settings import EmbeddingsArgs
from apps.embeddings.zero_shot import probabilities

_TEXT, _LABELS = "The football team won the match.", ["sports", "cooking"]


async def check() -> dict[str, object]:
    """Return the probability of the right label by every model.

    Raises:
        AssertionError: a model prefers the wrong label.
    """
    args = EmbeddingsArgs()
    found: dict[str, object] = {}
    for model in args.serve_models:
        encoder = Encoder(models_dir(args.models) / model.folder)
        text, labels = encoder.embed([_TEXT]), encoder.embed(_LABELS)
        right = probabilities(text, labels, multi_label=False, temperature=0.05, threshold=0)[0, 0]
        if right < 0.5:
            raise AssertionError(f"{model.name} takes {_TEXT!r} for {_LABELS[1]}")
        found[model.name] = round(float(right), 3)
    return found
