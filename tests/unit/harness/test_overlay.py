import pytest

from rayops.kube import Obj
from rayops.render import one, serve_config
from tests.harness import overlay as o

SERVE = """\
applications:
- name: rag
  import_path: apps.rag.app:build_app
  deployments:
  - {name: Ingress, num_replicas: 2, user_config: {revision: "1", top_k: 4}}
  - {name: Retriever, num_replicas: 1}
"""


def rendered() -> list[Obj]:
    container = {"name": "ray", "image": "local/pipeline:dev"}
    cluster = {
        "autoscalerOptions": {"idleTimeoutSeconds": 60},
        "headGroupSpec": {"template": {"spec": {"containers": [container]}}},
    }
    spec = {"serveConfigV2": SERVE, "rayClusterConfig": cluster}
    return [{"kind": "RayService", "metadata": {"name": "rag"}, "spec": spec}]


def config(objects: list[Obj]) -> Obj:
    return serve_config(one(objects, "RayService"))["applications"][0]  # type: ignore[no-any-return]


def test_changes_are_applied_in_order_and_the_given_objects_stay() -> None:
    before = rendered()
    after = o.changed(before, o.import_path("a:b"), o.import_path("c:d"), o.deletion_delay(5), o.idle_timeout(7))
    spec = after[0]["spec"]
    assert config(after)["import_path"] == "c:d"
    assert spec["rayClusterDeletionDelaySeconds"] == 5
    assert spec["rayClusterConfig"]["autoscalerOptions"]["idleTimeoutSeconds"] == 7
    assert before == rendered()


def test_user_config_keeps_its_other_values() -> None:
    ingress, retriever = config(o.changed(rendered(), o.user_config("Ingress", revision="2")))["deployments"]
    assert ingress["user_config"] == {"revision": "2", "top_k": 4}
    assert retriever == {"name": "Retriever", "num_replicas": 1}


def test_a_deployments_field_is_set_or_removed() -> None:
    after = o.changed(rendered(), o.deployment("Retriever", num_replicas=None, autoscaling_config={"max_replicas": 2}))
    assert config(after)["deployments"][1] == {"name": "Retriever", "autoscaling_config": {"max_replicas": 2}}


def test_an_unknown_deployment_is_no_silent_success() -> None:
    with pytest.raises(LookupError, match="no deployment Nobody"):
        o.changed(rendered(), o.user_config("Nobody", x=1))


def test_the_image_is_the_pipelines() -> None:
    head = o.changed(rendered(), o.image("local/pipeline:next"))[0]["spec"]["rayClusterConfig"]["headGroupSpec"]
    assert head["template"]["spec"]["containers"][0]["image"] == "local/pipeline:next"
