"""Documents in, typed fields out: text layer or OCR, entities and kind in parallel, extraction with page boxes."""
