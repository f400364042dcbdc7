"""The Serve schema that lint has without Ray, and what it adds in code, against Ray itself."""

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from ray.serve.config import AutoscalingConfig, GangSchedulingConfig
from ray.serve.schema import ServeDeploySchema, _route_prefix_format

from rayops.lint import serve_schema, serve_validators
from rayops.lint.validate import Problem, Validator
from rayops.versions import pin

VALIDATOR = Validator(serve_schema.schema())
GOOD: dict[str, Any] = {
    "applications": [
        {"name": "a", "import_path": "a:app", "deployments": [{"name": "A", "num_replicas": 2}]},
        {"name": "b", "import_path": "b.app", "route_prefix": "/b"},
    ]
}
# What pydantic's validators refuse beyond the schema: a change of GOOD, and the function that says so here.
BEYOND: list[tuple[str, dict[str, Any]]] = [
    ("names", {"applications/1/name": "a"}),
    ("names", {"applications/0/name": ""}),
    ("routes", {"applications/1/route_prefix": "/"}),
    ("tracing", {"tracing_config": {"sampling_ratio": 1.5}}),
    ("tls", {"http_options": {"ssl_certfile": "/tls/crt"}}),
    ("controller", {"controller_options": {"runtime_env": {"pip": ["x"]}}}),
    ("controller", {"controller_options": {"runtime_env": {"env_vars": {"A": 1}}}}),
    ("logging_of_all", {"logging_config": {"encoding": "XML"}}),
    ("logging_of_all", {"logging_config": {"log_level": "LOUD"}}),
    ("logging_of_one", {"applications/0/logging_config": {"log_level": 17}}),
    ("logging_of_one", {"applications/0/deployments/0/logging_config": {"additional_log_standard_attrs": ["nothing"]}}),
    ("import_path", {"applications/0/import_path": "app"}),
    ("import_path", {"applications/0/import_path": "a:b:c"}),
    ("import_path", {"applications/0/import_path": ":app"}),
    ("import_path", {"applications/0/import_path": "app."}),
    ("host_and_port", {"applications/0/port": 8000}),
    (
        "external_scaler",
        {"applications/0/external_scaler_enabled": True, "applications/0/deployments/0/num_replicas": "auto"},
    ),
    ("application_runtime_env", {"applications/0/runtime_env": {"working_dir": "/code"}}),
    ("application_runtime_env", {"applications/0/runtime_env": {"py_modules": ["ftp://x/y.zip"]}}),
    ("application_runtime_env", {"applications/0/runtime_env": {"working_dir": "local://code"}}),
    ("application_runtime_env", {"applications/0/runtime_env": {"working_dir": "local:///code.zip"}}),
    (
        "deployment_runtime_env",
        {"applications/0/deployments/0/ray_actor_options": {"runtime_env": {"working_dir": "."}}},
    ),
    ("num_replicas", {"applications/0/deployments/0/num_replicas": "many"}),
    ("num_replicas", {"applications/0/deployments/0/autoscaling_config": {"min_replicas": 1}}),
    ("gang", {"applications/0/deployments/0/gang_scheduling_config": {"gang_size": 3}}),
    (
        "gang",
        {
            "applications/0/deployments/0/gang_scheduling_config": {"gang_size": 2},
            "applications/0/deployments/0/max_replicas_per_node": 1,
        },
    ),
    (
        "placement_group",
        {
            "applications/0/deployments/0/placement_group_bundles": [{"CPU": 1}],
            "applications/0/deployments/0/max_replicas_per_node": 1,
        },
    ),
    ("placement_group", {"applications/0/deployments/0/placement_group_bundle_label_selector": [{"a": "b"}]}),
    (
        "placement_group",
        {
            "applications/0/deployments/0/placement_group_bundles": [{"CPU": 1}],
            "applications/0/deployments/0/placement_group_bundle_label_selector": [{"a": "b"}, {"a": "c"}],
        },
    ),
    ("queue", {"applications/0/deployments/0/max_queued_requests": 0}),
    ("queue", {"applications/0/deployments/0/max_queued_requests": 5.0}),
    ("label_selector", {"applications/0/deployments/0/ray_actor_options": {"label_selector": {"-a": "b"}}}),
    ("label_selector", {"applications/0/deployments/0/ray_actor_options": {"label_selector": {"a": "in(b"}}}),
]
# Taken by Ray's schema, and by our functions.
FINE: list[dict[str, Any]] = [
    {},
    {"applications/1/route_prefix": None},
    {"applications/0/deployments/0/num_replicas": "auto"},
    {"applications/0/deployments/0/max_queued_requests": -1},
    {"applications/0/runtime_env": {"working_dir": "local:///code", "py_modules": ["https://x/y.whl"]}},
    {"applications/0/deployments/0/ray_actor_options": {"label_selector": {"rayops.io/workers": "!in(a, b)"}}},
    {"logging_config": {"log_level": 10, "encoding": "JSON", "additional_log_standard_attrs": ["name"]}},
    {"http_options": {"ssl_certfile": "/tls/crt", "ssl_keyfile": "/tls/key"}},
    {"applications/0/deployments/0/gang_scheduling_config": {"gang_size": 2}},
    {"proxy_location": "HeadOnly", "grpc_options": {"port": 9000}},
]


def changed(changes: dict[str, Any]) -> dict[str, Any]:
    config = copy.deepcopy(GOOD)
    for path, value in changes.items():
        node: Any = config
        *parents, last = path.split("/")
        for part in parents:
            node = node[int(part)] if isinstance(node, list) else node[part]
        node[last] = value
    return config


def ray_refuses(config: dict[str, Any]) -> bool:
    try:
        ServeDeploySchema.model_validate(copy.deepcopy(config))
    except (ValidationError, NotImplementedError, AttributeError, TypeError):
        return True
    return False


def ours(config: dict[str, Any]) -> list[Problem]:
    found = VALIDATOR.problems(config)
    return found or serve_validators.problems(config)


def test_the_file_is_what_the_installed_ray_gives() -> None:
    assert serve_schema.generate() == serve_schema.schema(), "python -m rayops.lint.serve_schema"


def test_the_file_is_of_the_pinned_ray() -> None:
    assert [file.name for file in serve_schema.FOLDER.glob("serve-*.schema.json")] == [
        serve_schema.file_of(pin("RAY_VERSION")).name
    ]


@pytest.mark.parametrize(("function", "changes"), BEYOND, ids=lambda value: str(value)[:60])
def test_what_rays_validators_refuse_one_function_refuses(function: str, changes: dict[str, Any]) -> None:
    config = changed(changes)
    assert ray_refuses(config)
    assert not VALIDATOR.problems(config), "the schema says it: no function is needed"
    assert _from(function, config), f"{function} says nothing"


def _from(function: str, config: dict[str, Any]) -> list[Problem]:
    check = getattr(serve_validators, function)
    if check in serve_validators._WHOLE:
        return list(check(config))
    application = config["applications"][0]
    found = list(check(("applications",), application)) if check in serve_validators._APPLICATION else []
    if check in serve_validators._DEPLOYMENT:
        found += check(("deployments",), application["deployments"][0])
    return found


@pytest.mark.parametrize("changes", FINE, ids=lambda value: str(value)[:60])
def test_what_ray_takes_is_right(changes: dict[str, Any]) -> None:
    config = changed(changes)
    assert not ray_refuses(config)
    assert ours(config) == []


def test_every_function_has_a_config_that_it_refuses() -> None:
    checks = {*serve_validators._WHOLE, *serve_validators._APPLICATION, *serve_validators._DEPLOYMENT}
    later = {"autoscaling", "route_prefix"}  # below
    assert {check.__name__ for check in checks} == {name for name, _ in BEYOND} | later


@pytest.mark.parametrize("route", ["a", "/a/", "/{a}"])
def test_routes_are_judged_as_ray_does_when_it_is_asked_for_its_status(route: str) -> None:
    """Ray takes them, and from then on cannot say how its applications are (ApplicationDetails)."""
    with pytest.raises(ValueError, match="oute prefix"):
        _route_prefix_format(None, route)
    config = changed({"applications/0/route_prefix": route})
    assert not ray_refuses(config)
    assert [problem.path[-1] for problem in ours(config)] == ["route_prefix"]


@pytest.mark.parametrize(
    "scaling",
    [
        {"min_replicas": 3, "max_replicas": 2},
        {"max_replicas": 3, "initial_replicas": 5},
        {"aggregation_function": "most"},
    ],
)
def test_autoscaling_is_judged_as_ray_does_when_it_deploys(scaling: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"replicas|most"):
        AutoscalingConfig.model_validate(scaling)
    config = changed({"applications/0/deployments/0/autoscaling_config": scaling})
    del config["applications"][0]["deployments"][0]["num_replicas"]
    assert list(serve_validators.autoscaling((), config["applications"][0]["deployments"][0]))


def test_gangs_restart_whole() -> None:
    gang = {"gang_size": 2, "runtime_failure_policy": "RESTART_REPLICA"}
    with pytest.raises(NotImplementedError):
        GangSchedulingConfig.model_validate(gang)
    assert list(serve_validators.gang((), {"num_replicas": 2, "gang_scheduling_config": gang}))


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"applications/0/deployments/0/num_replica": 1}, "num_replica"),
        ({"http_options": {"prot": 8000}}, "prot"),
        ({"applications/0/deployments/0/autoscaling_config": {"min_replica": 1}}, "min_replica"),
    ],
)
def test_what_ray_drops_without_a_word_is_told(change: dict[str, Any], place: str) -> None:
    config = changed(change)
    config["applications"][0]["deployments"][0].pop("num_replicas")
    assert not ray_refuses(config)
    (problem,) = VALIDATOR.problems(config)
    assert problem.unknown
    assert problem.path[-1] == place


def _fields(definition: str, place: str) -> list[str]:
    return [f"{place}{name}" for name in serve_schema.schema()["$defs"][definition]["properties"]]


DEPLOYMENT = "applications/0/deployments/0/"
FIELDS = [
    *(name for name in serve_schema.schema()["properties"] if name != "applications"),
    *_fields("ServeApplicationSchema", "applications/0/"),
    *_fields("DeploymentSchema", DEPLOYMENT),
]
# No booleans and no numbers as text: pydantic makes numbers of them, lint does not (serve_schema.py).
VALUES: list[Any] = [
    *(None, 0, 1, 2, 7, -1, 0.5, 1.5, 200, "a", "auto", "a:app", "/a", "HeadOnly", "PACK", "INFO", [], {}, ["a"]),
    *(
        {"a": "b"},
        {"port": 80},
        {"num_cpus": 1},
        {"num_cpus": -1},
        {"runtime_env": {"pip": ["x"]}},
        {"working_dir": "x"},
    ),
    *(
        [{"CPU": 1}],
        [{"CPU": "x"}],
        [{"a": "b"}, {"c": "d"}],
        {"min_replicas": 1},
        {"max_replicas": 0},
        {"gang_size": 2},
    ),
    *({"log_level": "INFO"}, {"encoding": "X"}, {"status_code": 429}, {"status_code": 500}, {"enabled": None}),
]


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(st.sampled_from(FIELDS), st.sampled_from(VALUES), min_size=1, max_size=4))
def test_made_up_configs_are_judged_as_ray_judges_them(changes: dict[str, Any]) -> None:
    """What we take Ray takes; what Ray takes we refuse only where it refuses later, or drops something."""
    changes = dict(sorted(changes.items()))  # a list of deployments before what is in it
    try:
        config = changed(changes)
    except (TypeError, IndexError, KeyError, AttributeError):
        return  # there is no deployment any more to have the other field
    found = ours(config)
    if not found:
        assert not ray_refuses(config)
    elif not any(problem.unknown for problem in found):
        assert ray_refuses(config) or all(map(_later, found)), found


def _later(problem: Problem) -> bool:
    """Said by Ray when it deploys or is asked for its status; or a number that it makes a boolean."""
    late = {"autoscaling_config", "gang_scheduling_config", "deployment_actors", "request_router_config"}
    return bool(late & set(problem.path)) or problem.path[-1] == "route_prefix" or problem.message.endswith("boolean")
