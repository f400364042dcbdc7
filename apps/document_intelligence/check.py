"""One document in, its fields out, in one process: for the check of the image."""

import asyncio
import json
from pathlib import Path

from apps.common.deadline import Clock, Deadline
from apps.common.onnx_text import Embedder
from apps.common.paths import models_dir
from apps.document_intelligence.classify import KindClassifier
from apps.document_intelligence.extract.extractor import make_extractor
from apps.document_intelligence.ner.finder import make_finder
from apps.document_intelligence.pipeline import Pipeline
from apps.document_intelligence.reading.sandbox import Reader
from apps.document_intelligence.schema import Invoice
from apps.document_intelligence.settings import DocumentArgs
from apps.document_intelligence.steps import LocalSteps


async def check() -> dict[str, object]:
    """Return what was read of the sample; OCR is proved by a picture.

    Raises:
        AssertionError: the fields are not those of the sample.
        RuntimeError: OCR does not work.
    """
    args = DocumentArgs()
    models = models_dir(args.models)
    encoder = Embedder(models / args.classifier.model)
    reader = Reader(args.reader)
    await asyncio.to_thread(reader.prove)
    steps = LocalSteps(reader, make_finder(args.ner, models), KindClassifier(encoder), make_extractor(args.extractor))
    content = json.loads((Path(__file__).parent / "sample.json").read_text())["body"].encode()
    document = await Pipeline(steps).read(content, "text/plain", Deadline.after(60), Clock())
    fields = document.fields
    if not isinstance(fields, Invoice) or fields.total is None or str(fields.total.value) != "267.60":
        raise AssertionError(f"not the fields of the sample: {fields}")
    return {"kind": document.kind.kind, "total": str(fields.total.value), "entities": len(document.entities)}
