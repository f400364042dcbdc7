"""The typed application builder that serve.yaml names: `apps.hello.app:build_app`.

No `from __future__ import annotations` here: Serve reads the annotation of `args` to validate the arguments.
"""

from typing import Any

from apps.hello.deployments import Ingress, Normalizer
from apps.hello.settings import HelloArgs


def build_app(args: HelloArgs) -> Any:
    """Return the Serve application for `args`."""
    return Ingress.bind(args.limits, Normalizer.bind())
