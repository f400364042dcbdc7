"""What Ray's validators refuse in a Serve config beyond its JSON schema, one function for each of them.

Read from Ray 2.60: ray/serve/schema.py, ray/serve/config.py; tests hold each against Ray itself. Each gets a config
that fits the schema, and yields where it is wrong (path in the config) and why.
"""

import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

from rayops.lint.validate import Path, Problem, named

Config = dict[str, Any]
Found = Iterator[Problem]
# ray/_common/runtime_env_uri.py, Protocol
PROTOCOLS = ("gcs", "conda", "pip", "uv", "http", "https", "s3", "gs", "azure", "abfss", "file", "local")
ARCHIVES = (".zip", ".jar", ".whl", ".tar.gz", ".tgz")
# ray/_private/label_utils.py
LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?"
LABEL_PREFIX = r"[a-zA-Z0-9.](?:[a-zA-Z0-9_.-]*[a-zA-Z0-9.])?"  # Ray's own may backtrack without end
LABEL_SELECTOR = rf"!?(?:in)?\({LABEL}(?:, ?{LABEL})*\)|!?{LABEL}"
AGGREGATIONS = ("mean", "max", "min")
LEVELS = logging.getLevelNamesMapping()
STANDARD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


def problems(config: Config) -> list[Problem]:
    """Everything that Ray's validators refuse, in the order of the config."""
    found = [problem for check in (*_WHOLE,) for problem in check(config)]
    for path, application in _items((), "applications", config):
        found += [problem for check in _APPLICATION for problem in check(path, application)]
        for place, deployment in _items(path, "deployments", application):
            found += [problem for check in _DEPLOYMENT for problem in check(place, deployment)]
    return found


def _items(path: Path, key: str, owner: Config) -> Iterator[tuple[Path, Config]]:
    for position, item in enumerate(owner.get(key) or []):
        yield (*path, *named([key, position], owner)), item


# --- the whole config


def names(config: Config) -> Found:
    """application_names_unique, application_names_nonempty. Ray's default name is `default`."""
    given = [application.get("name", "default") for application in config["applications"]]
    for position, name in enumerate(given):
        if not name:
            yield Problem(named(["applications", position, "name"], config), "an application needs a name")
        elif name in given[:position]:
            yield Problem(("applications", f"[{name}]", "name"), f"two applications are named {name}")


def routes(config: Config) -> Found:
    """application_routes_unique. Ray's default route is `/`, so a second application must name its own."""
    given = [application.get("route_prefix", "/") for application in config["applications"]]
    for position, route in enumerate(given):
        if route is not None and route in given[:position]:
            place = named(["applications", position, "route_prefix"], config)
            yield Problem(place, f"two applications answer at {route} (/ where none is named)")


def tracing(config: Config) -> Found:
    """TracingConfig.validate_sampling_ratio."""
    ratio = (config.get("tracing_config") or {}).get("sampling_ratio")
    if ratio is not None and not 0 <= ratio <= 1:
        yield Problem(("tracing_config", "sampling_ratio"), f"{ratio} is not between 0 and 1")


def tls(config: Config) -> Found:
    """validate_ssl_config: certificate and key, or neither."""
    options = config.get("http_options") or {}
    if "ssl_certfile" in options and bool(options["ssl_certfile"]) != bool(options.get("ssl_keyfile")):
        yield Problem(("http_options", "ssl_certfile"), "ssl_certfile and ssl_keyfile go together")


def controller(config: Config) -> Found:
    """ControllerOptions._validate_runtime_env: only env_vars, and those are text."""
    env = (config.get("controller_options") or {}).get("runtime_env")
    place = ("controller_options", "runtime_env")
    for key, value in (env or {}).items():
        if key != "env_vars":
            yield Problem((*place, key), f"the controller's runtime_env takes env_vars only, not {key}")
        elif not isinstance(value, dict):
            yield Problem((*place, key), "env_vars is no mapping")
        else:
            wrong = [name for name, text in value.items() if not isinstance(text, str) or not name]
            yield from (Problem((*place, key, str(name)), "env_vars maps names to text") for name in wrong)


def logging_of_all(config: Config) -> Found:
    """LoggingConfig at the top."""
    yield from _logging((), config)


# --- an application


def import_path(path: Path, application: Config) -> Found:
    """import_path_format_valid: `module:attribute` or `module.attribute`."""
    given = application["import_path"]
    sign = ":" if ":" in given else "."
    if given.count(":") > 1 or sign not in given or given.startswith(sign) or given.endswith(sign):
        yield Problem((*path, "import_path"), f"{given!r} is no import path such as module:application")


def route_prefix(path: Path, application: Config) -> Found:
    """_route_prefix_format, of ApplicationDetails: Ray takes others, and then cannot tell its status."""
    route = application.get("route_prefix", "/")
    if route is not None and (not route.startswith("/") or (len(route) > 1 and route.endswith("/"))):
        yield Problem((*path, "route_prefix"), f"{route!r} must start with / and not end with it")
    elif route is not None and ("{" in route or "}" in route):
        yield Problem((*path, "route_prefix"), f"{route!r} must not hold wildcards")


def host_and_port(path: Path, application: Config) -> Found:
    """nested_host_and_port: they belong into http_options."""
    for key in ("host", "port"):
        if key in application:
            yield Problem((*path, key), f"{key} belongs into http_options at the top, not into an application")


def external_scaler(path: Path, application: Config) -> Found:
    """validate_external_scaler_and_autoscaling."""
    if application.get("external_scaler_enabled"):
        for place, each in _items(path, "deployments", application):
            if each.get("num_replicas") == "auto" or each.get("autoscaling_config") is not None:
                yield Problem(place, "scales itself although external_scaler_enabled is true")


def application_runtime_env(path: Path, application: Config) -> Found:
    """runtime_env_contains_remote_uris of an application."""
    yield from _uris((*path, "runtime_env"), application.get("runtime_env") or {})


# --- a deployment


def num_replicas(path: Path, deployment: Config) -> Found:
    """validate_num_replicas_and_autoscaling_config."""
    given, scaling = deployment.get("num_replicas"), deployment.get("autoscaling_config")
    if isinstance(given, str) and given != "auto":
        yield Problem((*path, "num_replicas"), f"{given!r} is neither a number nor auto")
    elif isinstance(given, int | float) and scaling is not None:
        yield Problem((*path, "num_replicas"), "num_replicas is a number although there is an autoscaling_config")


def autoscaling(path: Path, deployment: Config) -> Found:
    """AutoscalingConfig.replicas_settings_valid, aggregation_function_valid: when the deployment is made."""
    scaling = deployment.get("autoscaling_config") or {}
    least, most = scaling.get("min_replicas", 1), scaling.get("max_replicas", 1)
    # num_replicas: auto fills what is missing from AutoscalingConfig.default(): at most 100.
    if deployment.get("num_replicas") == "auto":
        most = scaling.get("max_replicas", 100)
    first = scaling.get("initial_replicas")
    if scaling and least > most:
        yield Problem(
            (*path, "autoscaling_config", "max_replicas"), f"max_replicas {most} is below min_replicas {least}"
        )
    elif first is not None and not least <= first <= most:
        place = (*path, "autoscaling_config", "initial_replicas")
        yield Problem(place, f"initial_replicas {first} is not between min_replicas {least} and max_replicas {most}")
    how = scaling.get("aggregation_function", "mean")
    if how.lower() not in AGGREGATIONS:
        yield Problem((*path, "autoscaling_config", "aggregation_function"), f"{how!r} is none of mean, max, min")


def gang(path: Path, deployment: Config) -> Found:
    """validate_gang_scheduling_config, GangSchedulingConfig._validate_runtime_failure_policy, and what excludes it."""
    config = deployment.get("gang_scheduling_config")
    if not config:
        return
    size, count = config["gang_size"], deployment.get("num_replicas")
    if isinstance(count, int) and count % size:
        yield Problem((*path, "num_replicas"), f"{count} is no multiple of gang_size {size}")
    scaling = (deployment.get("autoscaling_config") or {}) if count == "auto" else {}
    for key in ("min_replicas", "max_replicas", "initial_replicas"):
        if scaling.get(key) is not None and scaling[key] % size:
            yield Problem((*path, "autoscaling_config", key), f"{scaling[key]} is no multiple of gang_size {size}")
    if config.get("runtime_failure_policy") == "RESTART_REPLICA":
        yield Problem((*path, "gang_scheduling_config", "runtime_failure_policy"), "this Ray has RESTART_GANG only")
    for key in ("max_replicas_per_node", "placement_group_strategy"):
        if key in deployment:
            yield Problem((*path, key), f"{key} does not go together with gang_scheduling_config")


def placement_group(path: Path, deployment: Config) -> Found:
    """validate_max_replicas_per_node_and_placement_group_bundles, validate_bundle_label_selector."""
    bundles = deployment.get("placement_group_bundles")
    if bundles is not None and "max_replicas_per_node" in deployment:
        place = (*path, "max_replicas_per_node")
        yield Problem(place, "max_replicas_per_node does not go together with placement_group_bundles")
    selectors = deployment.get("placement_group_bundle_label_selector")
    if selectors is None:
        return
    place = (*path, "placement_group_bundle_label_selector")
    if bundles is None:
        yield Problem(place, "there are label selectors of bundles, and no placement_group_bundles")
    elif len(selectors) not in (1, len(bundles)):
        yield Problem(place, f"{len(selectors)} label selectors for {len(bundles)} bundles: one, or one for each")


def queue(path: Path, deployment: Config) -> Found:
    """validate_max_queued_requests, and StrictInt: 5.0 is no integer there."""
    given = deployment.get("max_queued_requests", -1)
    if not isinstance(given, int) or (given < 1 and given != -1):
        yield Problem((*path, "max_queued_requests"), f"{given} is neither -1 (no limit) nor a positive integer")


def label_selector(path: Path, deployment: Config) -> Found:
    """RayActorOptionsSchema.label_selector_is_valid."""
    options = deployment.get("ray_actor_options") or {}
    for key, value in (options.get("label_selector") or {}).items():
        place = (*path, "ray_actor_options", "label_selector", key)
        prefix, slash, name = key.rpartition("/")
        prefixed = not slash or (len(prefix) <= 253 and re.fullmatch(LABEL_PREFIX, prefix))
        if not prefixed or len(name) > 63 or not re.fullmatch(LABEL, name):
            yield Problem(place, f"{key!r} is no label key")
        elif value and not re.fullmatch(LABEL_SELECTOR, value):
            yield Problem(place, f"{value!r} is no selector: a label's value, !value, in(a,b) or !in(a,b)")


def deployment_runtime_env(path: Path, deployment: Config) -> Found:
    """runtime_env_contains_remote_uris of a replica."""
    options = deployment.get("ray_actor_options") or {}
    yield from _uris((*path, "ray_actor_options", "runtime_env"), options.get("runtime_env") or {})


def logging_of_one(path: Path, owner: Config) -> Found:
    """LoggingConfig of an application or a deployment."""
    yield from _logging(path, owner)


# --- parts


def _logging(path: Path, owner: Config) -> Found:
    config = owner.get("logging_config") or {}
    place = (*path, "logging_config")
    encoding, level = config.get("encoding", "TEXT"), config.get("log_level", "INFO")
    if encoding not in ("TEXT", "JSON"):
        yield Problem((*place, "encoding"), f"{encoding!r} is neither TEXT nor JSON")
    if level not in LEVELS and level not in LEVELS.values():
        yield Problem((*place, "log_level"), f"{level!r} is none of {', '.join(LEVELS)}")
    for name in config.get("additional_log_standard_attrs") or []:
        if name not in STANDARD_ATTRIBUTES:
            yield Problem((*place, "additional_log_standard_attrs"), f"{name!r} is no attribute of a log record")


def _uris(path: Path, env: Config) -> Found:
    """py_modules and working_dir are addresses of archives, or local:// folders that are on every node."""
    modules = env.get("py_modules") or []
    given = [("py_modules", each) for each in (modules if isinstance(modules, list) else [])]
    if env.get("working_dir") is not None:
        given.append(("working_dir", env["working_dir"]))
    for key, uri in given:
        if said := _bad_uri(uri):
            yield Problem((*path, key), said)


def _bad_uri(uri: Any) -> str:
    from urllib.parse import urlparse

    if not isinstance(uri, str):
        return f"{uri!r} is no address"
    try:
        scheme = urlparse(uri).scheme
    except ValueError:
        return f"{uri!r} is no address"
    if scheme not in PROTOCOLS:
        return f"{uri!r} is no address: Serve configs take archives (https://…, s3://…) or local:///folder/in/the/image"
    local = uri[len("local://") :]
    if scheme == "local" and (not uri.lower().startswith("local://") or not re.match(r"/|[A-Za-z]:[\\/]", local)):
        return f"{uri!r}: a local address is local:///an/absolute/folder"
    if scheme == "local" and local.endswith(ARCHIVES):
        return f"{uri!r}: a local address is a folder, not an archive"
    return ""


Whole = Callable[[Config], Found]
Part = Callable[[Path, Config], Found]
_WHOLE: tuple[Whole, ...] = (names, routes, tracing, tls, controller, logging_of_all)
_APPLICATION: tuple[Part, ...] = (
    import_path,
    route_prefix,
    host_and_port,
    external_scaler,
    application_runtime_env,
    logging_of_one,
)
_DEPLOYMENT: tuple[Part, ...] = (
    num_replicas,
    autoscaling,
    gang,
    placement_group,
    queue,
    label_selector,
    deployment_runtime_env,
    logging_of_one,
)
