"""OpenAI's HTTP protocol: typed bodies (`api`), error bodies (`errors`), server-sent events (`sse`)."""
