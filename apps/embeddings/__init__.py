"""Embeddings of texts over HTTP (as OpenAI's) and gRPC, zero-shot classes on top of them, and batches over files."""
