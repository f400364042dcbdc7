"""The one address of many models: OpenAI's protocol in front, routes to the servers of the models behind."""
