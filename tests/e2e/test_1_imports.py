"""What every serve.yaml names is in the pipeline image: one container without a network imports and builds them all.

Those on ray.serve.llm need the image pipeline-gpu, which has vLLM: here they fail for that alone.
tests/vllm builds them.
"""

import json
import subprocess
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

def built(application):
    module, _, function = application.import_path.partition(":")
    builder = getattr(importlib.import_module(module), function)
    bound = builder(builder.__annotations__["args"](**application.args))
    made = build_app(bound, name=application.name, default_runtime_env=None)
    return {"deployments": sorted(each.name for each in made.deployments), "ingress": made.ingress_deployment_name}

answers = {}
for name, config in json.load(sys.stdin).items():
    try:
        (application,) = ServeDeploySchema.parse_obj({"applications": [config]}).applications
        answers[name] = built(application)
    except Exception as error:
        answers[name] = {"error": f"{type(error).__name__}: {error}"}
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


def applications() -> dict[str, dict[str, Any]]:
    """Every application of every serve.yaml, as FILE#NAME."""
    found = {str(file.relative_to(ROOT)): yaml.safe_load(file.read_text())["applications"] for file in FILES}
    return {f"{file}#{each['name']}": each for file, several in found.items() for each in several}


APPLICATIONS = applications()


def needs_vllm(application: dict[str, Any]) -> bool:
    engine: dict[str, Any] = application.get("args", {}).get("engine", {})
    return engine.get("kind") == "ray-serve-llm"


@pytest.fixture(scope="module")
def answers(cluster: Cluster, kube: Kube) -> dict[str, Any]:
    """The image is the one that the cluster of ours runs: bringing that up made it from this checkout."""
    if not cluster.ours and not rootfs.image_exists(PIPELINE_IMAGE):
        pytest.skip(f"this machine's engine has no {PIPELINE_IMAGE}")
    application = next(each for name, each in APPLICATIONS.items() if name == "apps/hello/serve.yaml#hello")
    wrong = {
        "gone": {**application, "import_path": "apps.hello.nowhere:build_app"},
        "misnamed": {**application, "import_path": "apps.hello.app:build"},
        "argument": {**application, "args": {"mispelt": 1}},
    }
    return build({**APPLICATIONS, **wrong})


@pytest.mark.parametrize("name", APPLICATIONS)
def test_the_image_builds_what_the_configuration_names(name: str, answers: dict[str, Any]) -> None:
    application, answer = APPLICATIONS[name], answers[name]
    if needs_vllm(application):
        assert answer == {"error": "ModuleNotFoundError: No module named 'ray.llm'"}
        return
    listed = {deployment["name"] for deployment in application["deployments"]}
    assert "error" not in answer, answer
    assert set(answer["deployments"]) == listed
    assert answer["ingress"] in listed


def test_the_first_application_has_the_name_of_its_folder() -> None:
    for file in FILES:
        first = next(each for name, each in APPLICATIONS.items() if name.startswith(f"{file.relative_to(ROOT)}#"))
        assert first["name"] == file.relative_to(ROOT).parts[1].replace("_", "-")


@pytest.mark.parametrize(
    ("case", "cause"), [("gone", "ModuleNotFoundError"), ("misnamed", "AttributeError"), ("argument", "mispelt")]
)
def test_what_cannot_be_built_is_told(case: str, cause: str, answers: dict[str, Any]) -> None:
    assert cause in answers[case]["error"]
