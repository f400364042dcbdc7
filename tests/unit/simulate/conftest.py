"""Small pipelines, and a small checkout with the files that a simulation reads."""

from pathlib import Path

import pytest

SERVE = """
applications:
- name: demo
  import_path: apps.demo.app:build_app
  args: {limits: {in_flight: 16}}
  deployments:
  - {name: Ingress, num_replicas: 2, max_ongoing_requests: 64, ray_actor_options: {num_cpus: 0.5},
     user_config: {pages_in_flight: 3}}
  - name: Read
    autoscaling_config: {min_replicas: 1, max_replicas: 4, target_ongoing_requests: 2, upscale_delay_s: 3}
    max_ongoing_requests: 4
    max_queued_requests: 32
    ray_actor_options: {num_cpus: 1}
  - {name: Tag, num_replicas: 2, max_ongoing_requests: 8, ray_actor_options: {num_cpus: 0.5, num_gpus: 0.25}}
  - {name: Sort, num_replicas: 2, max_ongoing_requests: 8, ray_actor_options: {num_cpus: 0.5, num_gpus: 0.25}}
  - {name: Write, num_replicas: 1, max_ongoing_requests: 8, ray_actor_options: {num_cpus: 1, num_gpus: 2}}
"""
SPEC = """
flow: [Read, {parallel: [Tag, Sort]}, Write]
pages: {mean: 3, assumed: "made up for the tests"}
documents_per_s: {value: 0.3, assumed: "made up for the tests"}
gpu:
  shared_speed: {value: 1.0, assumed: "made up for the tests"}
  worker_start_s: {value: 60, assumed: "made up for the tests"}
stages:
  Read: {per: page, at_once: pages_in_flight, service_s: {mean: 0.3, cv: 0.5, measured: "on a machine of the tests"}}
  Tag: {service_s: {mean: 0.5, cv: 1, assumed: "made up for the tests"}}
  Sort: {service_s: {mean: 0.5, cv: 1, assumed: "made up for the tests"}}
  Write: {service_s: {mean: 0.6, cv: 0.5, assumed: "made up for the tests"}, concurrency: 4}
claim:
  layouts:
    plain:
      about: "as in the file, without autoscaling"
      dedicated: {Tag: 4, Sort: 4, Write: 2}
      fractional: {Tag: 4, Sort: 4, Write: 2}
    pool:
      about: "one replica of each step on each GPU"
      dedicated: {Tag: 4, Sort: 4, Write: 4}
      fractional: {Tag: 6, Sort: 6, Write: 6}
      gpus: {Write: 0.5}
      worker_gpus: 1
      autoscaled:
        Tag: &scaling {min_replicas: 2, max_replicas: 6, target_ongoing_requests: 0.6, downscale_delay_s: 30}
        Sort: *scaling
        Write: *scaling
  mixes:
    even: {about: "as the stages say it", layout: plain}
    steady: {about: "every call as long as the next", layout: plain, cv: 0}
    heavy: {about: "too much work for the shared GPUs", layout: plain, mean: {Tag: 3, Sort: 3}}
    pooled: {about: "all steps on all GPUs", layout: pool, mean: {Write: 0.5}}
"""
SIZING = "# numbers\ngpuMin=0\ngpuMax=2\ngpuGpus=2\ncpuMax=2\ncpuRayCpus=4\nidleTimeoutSeconds=60\n"
OVERLAY = "resources: [../../../apps/demo]\n"
FILES = {
    "serve.yaml": "apps/demo/serve.yaml",
    "simulation.yaml": "apps/demo/simulation.yaml",
    "sizing.env": "overlays/dev/demo/sizing.env",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with one pipeline, demo, in one environment, dev."""
    texts = {**dict(zip(FILES.values(), (SERVE, SPEC, SIZING), strict=True))}
    for name, text in {**texts, "overlays/dev/demo/kustomization.yaml": OVERLAY}.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


def change(checkout: Path, name: str, before: str, after: str) -> Path:
    """Change a file of the checkout, named as in FILES."""
    file = checkout / FILES[name]
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after, 1))
    return file
