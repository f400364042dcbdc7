"""Language models over OpenAI's protocol: ray.serve.llm, or an own server on vLLM or on a stand-in engine."""
