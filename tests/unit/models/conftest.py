"""A checkout with two environments and four pipelines, small enough to read, and a catalogue without a fault."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from rayops.errors import RayopsError
from rayops.models import places
from rayops.models.sync import CATALOGUE, Plan, plan

Obj = dict[str, Any]
ZERO, A, B = ("0" * 64, "a" * 64, "b" * 64)
REVISION = "c" * 40
CATALOGUE_TEXT = f"""\
download: https://hub.example.com/{{source}}/resolve/{{revision}}/{{path}}
gpu_memory_gib: {{gpu: 24, multihost: 80}}
gpu_memory_utilization: 0.9

models:
- id: small
  kind: chat
  source: stand-in
  licence: Apache-2.0
  size_gib: 0
  pipeline: gateway
  application: llm
  group: cpu
  environments: [local]
- id: big
  kind: chat
  source: maker/Big-7B
  revision: {REVISION}
  licence: Apache-2.0
  size_gib: 13.5
  files:
  - {{path: config.json, sha256: {A}}}
  - {{path: model.safetensors, sha256: {B}}}
  engine_args: {{max_model_len: 8192}}
  pipeline: llm
  application: llm
  group: gpu
  aliases: [Big, maker/Big]
  environments: [local, prod]
- id: big-support
  kind: chat
  source: maker/Big-7B-support
  revision: {REVISION}
  licence: MIT
  size_gib: 0.2
  files: [{{path: adapter.safetensors, sha256: {A}}}]
  adapter_of: big
  pipeline: llm
  application: llm
  group: gpu
  environments: [local, prod]
  fallback: [big]
- id: huge
  kind: chat
  source: maker/Huge-70B
  revision: {REVISION}
  licence: LicenseRef-Huge
  size_gib: 131.5
  files: [{{path: model.safetensors, sha256: "{ZERO}"}}]
  engine_args: {{tensor_parallel_size: 8, pipeline_parallel_size: 2}}
  pipeline: llm-70b
  application: llm
  group: multihost
  environments: [prod]
- id: vectors
  kind: embeddings
  source: package:vectors==1.0
  revision: {B}
  licence: Apache-2.0
  size_gib: 0.1
  pipeline: embeddings
  application: embeddings
  group: {{local: cpu, prod: gpu}}
  environments: [local, prod]

splits:
- alias: assistant
  environments: [local]
  weights: {{big: 0.9, small: 0.1}}
  shadow: {{model: big-support, share: 0.5}}
"""
GATEWAY = """\
# The gateway, by hand.
applications:
- name: gateway
  route_prefix: /
  import_path: apps.gateway.app:build_app
  deployments:
  - name: Ingress
    user_config:
      revision: "1"
      # rayops models: begin
      # rayops models: end
    num_replicas: 2
"""
SMALL = """\
- name: llm
  route_prefix: /llm
  import_path: apps.llm.app:build_app
  args:
    # rayops models: begin
    # rayops models: end
    engine: {kind: stand-in}
"""
LLM = """\
applications:
- name: llm
  route_prefix: /
  import_path: apps.llm.app:build_app
  args:
    # rayops models: begin
    # rayops models: end
    engine: {kind: ray-serve-llm} # stays
"""
EMBEDDINGS = """\
applications:
- name: embeddings
  route_prefix: /
  import_path: apps.embeddings.app:build_app
  args:
    # rayops models: begin
    # rayops models: end
"""
PAGE = "# gateway\n\n<!-- rayops models: begin -->\n<!-- rayops models: end -->\n\nBelow.\n"
LOCKED = f"vectors==1.0 \\\n    --hash=sha256:{A} \\\n    --hash=sha256:{B}\n"


def group(name: str, gpus: int = 0, memory: str = "4Gi", replicas: int = 1, hosts: int = 1) -> Obj:
    requests = {"cpu": "1", "memory": memory, **({"nvidia.com/gpu": str(gpus)} if gpus else {})}
    pod = {"spec": {"containers": [{"name": "ray", "resources": {"requests": requests}}]}}
    return {"groupName": name, "maxReplicas": replicas, "numOfHosts": hosts, "template": pod}


GROUPS = {
    "gateway": [group("cpu"), group("gpu", gpus=1, replicas=0)],
    "llm": [group("cpu"), group("gpu", gpus=1, memory="32Gi", replicas=2)],
    "llm-70b": [group("cpu"), group("multihost", gpus=8, hosts=2, memory="256Gi")],
    "embeddings": [group("cpu"), group("gpu", gpus=1)],
}


@dataclass
class Checkout:
    """The fixture's files, and the catalogue with edits."""

    root: Path

    def write(self, name: str, text: str) -> None:
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def read(self, name: str) -> str:
        return (self.root / name).read_text()

    def edit(self, old: str, new: str, name: str = CATALOGUE) -> None:
        """Put `new` in the place of `old`, which must be there once."""
        text = self.read(name)
        assert text.count(old) == 1, (old, text.count(old))
        self.write(name, text.replace(old, new))

    def model(self, name: str, old: str, new: str) -> None:
        """The same in the entry of one model."""
        text = self.read(CATALOGUE)
        start = text.index(f"- id: {name}\n")
        end = next((place for word in ("\n- id:", "\nsplits:") if (place := text.find(word, start)) > 0), len(text))
        part = text[start : end + 1]
        assert part.count(old) == 1, (old, part)
        self.write(CATALOGUE, text[:start] + part.replace(old, new) + text[end + 1 :])

    def line(self, words: str) -> int:
        """The number of the one line of the catalogue that holds `words`."""
        found = [number for number, line in enumerate(self.read(CATALOGUE).splitlines(), 1) if words in line]
        assert len(found) == 1, (words, found)
        return found[0]

    def plan(self) -> Plan:
        return plan(self.root)

    def faults(self) -> list[str]:
        return [str(fault) for fault in self.plan().faults]

    def groups(self, environment: str, pipeline: str, groups: list[Obj]) -> None:
        """What an overlay renders: these worker groups."""
        spec = {"rayClusterConfig": {"headGroupSpec": {}, "workerGroupSpecs": groups}}
        meta = {"name": pipeline, "namespace": pipeline}
        service = {"kind": "RayService", "metadata": meta, "spec": spec}
        self.write(f"overlays/{environment}/{pipeline}/rayservice.yaml", yaml.safe_dump(service))

    def overlay(self, environment: str, pipeline: str, app: str, components: str = "") -> None:
        """An overlay that runs apps/`app`."""
        folder = f"overlays/{environment}/{pipeline}"
        listed = f"components: [{components}]\n" if components else ""
        self.write(f"{folder}/kustomization.yaml", f"resources: [rayservice.yaml, ../../../apps/{app}]\n{listed}")
        self.write(f"{folder}/sizing.env", "a=1\n")
        self.groups(environment, pipeline, GROUPS[pipeline])

    def tree(self) -> dict[str, bytes]:
        """Every file with its content."""
        return {str(file): file.read_bytes() for file in sorted(self.root.rglob("*")) if file.is_file()}


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    """The checkout before its first sync; what overlays render is what their rayservice.yaml says."""
    made = Checkout(tmp_path)
    cache = "../../../base/components/model-cache"
    made.write("base/components/model-cache/kustomization.yaml", "kind: Component\n")
    made.write("apps/images/pipeline/model.txt", LOCKED)
    made.write("apps/gateway/README.md", PAGE)
    made.write("apps/gateway/serve.yaml", GATEWAY + SMALL)
    made.write("apps/gateway/replicated/serve.yaml", GATEWAY)
    made.write("apps/llm/serve.yaml", LLM)
    made.write("apps/llm/multi-host/serve.yaml", LLM)
    made.write("apps/embeddings/serve.yaml", EMBEDDINGS)
    made.write(CATALOGUE, CATALOGUE_TEXT)
    for environment in ("local", "prod"):
        made.write(f"overlays/{environment}/kustomization.yaml", "resources: []\n")
        made.overlay(environment, "gateway", "gateway/replicated" if environment == "prod" else "gateway")
        made.overlay(environment, "llm", "llm", cache)
        made.overlay(environment, "embeddings", "embeddings")
    made.overlay("prod", "llm-70b", "llm/multi-host", cache)
    monkeypatch.setattr(places, "render", rendered)
    return made


def rendered(folder: Path) -> list[Obj]:
    text = (folder / "rayservice.yaml").read_text()
    if "broken" in text:
        raise RayopsError(f"{folder}: it is broken")
    return list(yaml.safe_load_all(text))


@pytest.fixture
def synced(checkout: Checkout) -> Checkout:
    """The checkout after its first sync."""
    assert checkout.faults() == []
    checkout.plan().write()
    return checkout


@pytest.fixture
def refused(checkout: Checkout) -> Callable[[str, str], None]:
    """Call it with words of the line and what must be said of it: it must be the one fault that is found."""

    def check(words: str, said: str) -> None:
        assert checkout.faults() == [f"{CATALOGUE}:{checkout.line(words)}: {said}"]

    return check
