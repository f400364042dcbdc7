"""Search over documents: cut, embed, store, rerank and answer, for every pipeline that cites sources."""
