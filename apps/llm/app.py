"""The typed application builder that serve.yaml names: `apps.llm.app:build_app`.

No `from __future__ import annotations` here: Serve reads the annotation of `args` to validate the arguments.
"""

from typing import Any

from apps.llm.deployments import Ingress, Normalizer
from apps.llm.settings import LlmArgs


def build_app(args: LlmArgs) -> Any:
    """Return the Serve application for `args`."""
    return Ingress.bind(args.limits, Normalizer.bind())
