"""The typed application builder that serve.yaml names: `apps.llm.app:build_app`.

No `from __future__ import annotations` here: Serve reads the annotation of `args` to validate the arguments.
"""

from typing import Any

from apps.llm.settings import LlmArgs


def build_app(args: LlmArgs) -> Any:
    """Return the Serve application for `args`: ray.serve.llm's own, or the own server with the engine that is named."""
    if args.engine.kind == "ray-serve-llm":
        # It cannot be imported without vLLM, which is in the image pipeline-gpu only.
        from apps.llm.ray_llm import build

        return build(args)
    from apps.llm.deployments import Ingress, LlmEngine

    return Ingress.bind(args, LlmEngine.bind(args))
