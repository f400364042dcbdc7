"""How the operator is installed, as far as its answers depend on it: environment variables and feature gates.

Not known here: what a batch scheduler of the operator (`batchScheduler.name`: labels, a scheduler's name) or sidecars
of its configuration file would add to pods.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rayops.errors import RayopsError
from rayops.paths import ROOT

VALUES = Path("charts/kuberay-platform/values.yaml")
SUBCHART = "kuberay-operator"


@dataclass(frozen=True)
class Operator:
    """Settings of an installed operator. environment: its container's; gates: `A=true,B=false`, "" for the defaults."""

    environment: Mapping[str, str] = field(default_factory=dict)
    gates: str = ""

    def key(self) -> str:
        """Text that is the same for the same settings."""
        return json.dumps([dict(sorted(self.environment.items())), self.gates])


def operator_of(env: str | None = None, root: Path = ROOT, *, strict: bool = False) -> Operator:
    """The operator as this repository's chart installs it in an environment (None: the chart's own values).

    Where a repository has no such chart or environment, KubeRay's defaults or the chart's; RayopsError when strict and
    there is no such environment, and where values cannot be read.
    """
    values = _values(root / VALUES)
    if env is not None:
        file = root / "overlays" / env / "operator-values.yaml"
        if strict and not file.is_file():
            raise RayopsError(f"no environment {env}: {file} is not there")
        values |= _values(file)  # lists are replaced, as Helm does
    return Operator(values.get("env", {}), values.get("featureGates", ""))


def _values(file: Path) -> dict[str, Any]:
    """What a values file says of the operator: env as a mapping, featureGates as KubeRay's option; only what it has."""
    if not file.is_file():
        return {}
    import yaml

    try:
        values = (yaml.safe_load(file.read_text("utf-8")) or {}).get(SUBCHART) or {}
        found: dict[str, Any] = {}
        if "env" in values.keys():  # noqa: SIM118 - a list has no keys
            found["env"] = {each["name"]: str(each["value"]) for each in values["env"] or [] if "value" in each}
        if "featureGates" in values:
            gates = [f"{gate['name']}={str(gate['enabled']).lower()}" for gate in values["featureGates"] or []]
            found["featureGates"] = ",".join(gates)
    except (yaml.YAMLError, AttributeError, TypeError, KeyError, UnicodeDecodeError) as error:
        what = " ".join(str(error).split())
        raise RayopsError(
            f"{file}: no values of the operator's chart: {what}", hint="env and featureGates: lists"
        ) from error
    return found
