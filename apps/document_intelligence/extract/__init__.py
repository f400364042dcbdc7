"""Typed fields of a document: by geometry, or by a language model whose every value is looked up in the document."""
