"""Vector stores behind one interface (`base.VectorStore`)."""
