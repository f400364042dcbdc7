"""What every serve.yaml names is in the pipeline image: one container without a network imports and builds them all."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from rayops.cluster import rootfs
from rayops.kube import Kube
from rayops.paths import ROOT
from tests.harness import Cluster
from tests.harness.helpers import PIPELINE_IMAGE

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
FILES = sorted((ROOT / "apps").glob("*/**/serve.yaml"))
# Takes the configurations as JSON by file; gives what each builds, or the error. Nothing of Ray is started.
BUILD = """
import importlib, json, sys
from ray.serve._private.build_app import build_app
from ray.serve.schema import ServeDeploySchema

def built(config):
    (application,) = ServeDeploySchema.parse_obj(config).applications
    module, _, function = application.import_path.partition(":")
    builder = getattr(importlib.import_module(module), function)
    bound = builder(builder.__annotations__["args"](**application.args))
    made = build_app(bound, name=application.name, default_runtime_env=None)
    return {"deployments": sorted(each.name for each in made.deployments), "ingress": made.ingress_deployment_name}

answers = {}
for file, config in json.load(sys.stdin).items():
    try:
        answers[file] = built(config)
    except Exception as error:
        answers[file] = {"error": f"{type(error).__name__}: {error}"}
print(json.dumps(answers))
"""


def build(configurations: dict[str, Any]) -> dict[str, Any]:
    """What the image makes of configurations, by their names."""
    run = ["docker", "run", "--rm", "--interactive", "--network", "none", "--cap-drop", "ALL", PIPELINE_IMAGE]
    done = subprocess.run(
        [*run, "python", "-c", BUILD],
        input=json.dumps(configurations),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answers


@pytest.fixture(scope="module")
def configurations() -> dict[str, Any]:
    return {str(file.relative_to(ROOT)): yaml.safe_load(file.read_text()) for file in FILES}


@pytest.fixture(scope="module")
def answers(cluster: Cluster, kube: Kube, configurations: dict[str, Any]) -> dict[str, Any]:
    """The image is the one that the cluster of ours runs: bringing that up made it from this checkout."""
    if not cluster.ours and not rootfs.image_exists(PIPELINE_IMAGE):
        pytest.skip(f"this machine's engine has no {PIPELINE_IMAGE}")
    first = next(iter(configurations.values()))
    (application,) = first["applications"]
    wrong = {
        "gone": {"applications": [{**application, "import_path": "apps.hello.nowhere:build_app"}]},
        "misnamed": {"applications": [{**application, "import_path": "apps.hello.app:build"}]},
        "argument": {"applications": [{**application, "args": {"mispelt": 1}}]},
    }
    return build({**configurations, **wrong})


@pytest.mark.parametrize("file", [str(file.relative_to(ROOT)) for file in FILES])
def test_the_image_builds_what_the_configuration_names(
    file: str, answers: dict[str, Any], configurations: dict[str, Any]
) -> None:
    (application,) = configurations[file]["applications"]
    listed = {deployment["name"] for deployment in application["deployments"]}
    assert "error" not in answers[file], answers[file]
    assert set(answers[file]["deployments"]) == listed
    assert answers[file]["ingress"] in listed
    assert application["name"] == Path(file).parts[1].replace("_", "-")


@pytest.mark.parametrize(
    ("case", "cause"), [("gone", "ModuleNotFoundError"), ("misnamed", "AttributeError"), ("argument", "mispelt")]
)
def test_what_cannot_be_built_is_told(case: str, cause: str, answers: dict[str, Any]) -> None:
    assert cause in answers[case]["error"]
