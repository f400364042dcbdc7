"""Questions and answers over documents: retrieval, reranking, answers that name their sources."""
