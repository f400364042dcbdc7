"""Safety family: what Git must not hold, and code that comes from elsewhere at run time."""

import re
from collections.abc import Iterator
from typing import Any

from rayops.lint import guard
from rayops.lint.context import Context
from rayops.lint.model import Finding, Rule
from rayops.lint.rules import check
from rayops.lint.view import Path, Ray

# RE2's as well as Python's: base/policies has them too.
SECRETS = r"(^|_)(PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|ACCESS_KEY|PRIVATE_KEY)$"
REFERENCE = r"^(\$|/)"
CREDENTIALS = r"://[^/:@\s]+:[^/@\s]+@"

IN_PLAIN = Rule(
    "secret-in-plain",
    "safety",
    "error",
    "a password or token stands in the object: in Git's history for ever, and in every `kubectl get -o yaml`",
    "take it from a Secret by valueFrom.secretKeyRef (External Secrets or SOPS bring it), and change it now",
    "base/components/external-secrets/README.md",
)
SECRET_IN_GIT = Rule(
    "secret-in-git",
    "safety",
    "warning",
    "a Secret is rendered with its data readable: base64 is no encryption",
    "let External Secrets or SOPS bring it",
    "base/components/secrets-sops/README.md",
)
FETCHES = Rule(
    "runtime-env-fetches",
    "safety",
    "warning",
    "the runtime_env fetches code or packages when a replica starts: slow, another one tomorrow, or none",
    "build it into the image",
    "apps/README.md",
)
FETCHED = ("pip", "uv", "conda", "working_dir", "py_modules", "py_executable", "container", "image_uri", "java_jars")


def is_plain(name: str, value: Any) -> bool:
    """Whether an environment entry is a secret by its name, or by credentials in an address."""
    text = str(value or "")
    named = bool(re.search(SECRETS, name)) and bool(text) and not re.search(REFERENCE, text)
    return named or bool(re.search(CREDENTIALS, text))


@check(IN_PLAIN)
def in_plain(context: Context) -> Iterator[Finding]:
    """Environment entries, Redis passwords and runtime environments of Ray's kinds."""
    for ray in context.ray:
        for path, name in _plain(ray):
            yield context.finding(IN_PLAIN, ray.resource, path, f"{name} has its value here")


def _plain(ray: Ray) -> Iterator[tuple[Path, str]]:
    for group in ray.groups:
        for container in group.containers:
            for entry in container.obj.get("env") or []:
                name = str(entry.get("name"))
                if is_plain(name, entry.get("value")):
                    yield (*container.path, "env", f"[{name}]", "value"), name
        if is_plain("PASSWORD", group.start_params.get("redis-password")):
            yield (*group.path, "rayStartParams", "redis-password"), "redis-password"
    for entry in (ray.cluster.get("autoscalerOptions") or {}).get("env") or []:
        if is_plain(str(entry.get("name")), entry.get("value")):
            yield (*ray.cluster_path, "autoscalerOptions", "env", f"[{entry.get('name')}]", "value"), str(entry["name"])
    password = (ray.cluster.get("gcsFaultToleranceOptions") or {}).get("redisPassword") or {}
    if is_plain("PASSWORD", password.get("value")):
        yield (*ray.cluster_path, "gcsFaultToleranceOptions", "redisPassword", "value"), "redisPassword"
    for path, env in runtime_envs(ray):
        variables = env.get("env_vars")
        for name, value in (variables if isinstance(variables, dict) else {}).items():
            if is_plain(str(name), value):
                yield (*path, "env_vars", str(name)), str(name)


def runtime_envs(ray: Ray) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every runtime_env of a Serve config, and the one of a job."""
    for application, path in ray.applications:
        if application.get("runtime_env"):
            yield (*path, "runtime_env"), application["runtime_env"]
    for deployment in ray.deployments:
        options = deployment.obj.get("ray_actor_options") or {}
        if options.get("runtime_env"):
            yield (*deployment.path, "ray_actor_options", "runtime_env"), options["runtime_env"]
    if text := ray.spec.get("runtimeEnvYAML"):
        try:
            found = guard.load(str(text))
        except ValueError:
            return
        if isinstance(found, dict):
            yield ("spec", "runtimeEnvYAML"), found


@check(FETCHES)
def fetches(context: Context) -> Iterator[Finding]:
    """Packages, archives and images that a runtime_env brings. local:// folders of the image are none."""
    for ray in context.ray:
        for path, env in runtime_envs(ray):
            for key in FETCHED:
                if env.get(key) and not _local(env[key]):
                    at = path if ray.kind == "RayJob" else (*path, key)
                    yield context.finding(FETCHES, ray.resource, at, f"runtime_env has {key}")


def _local(value: Any) -> bool:
    given = value if isinstance(value, list) else [value]
    return all(isinstance(each, str) and each.startswith("local://") for each in given)


@check(SECRET_IN_GIT)
def secret_in_git(context: Context) -> Iterator[Finding]:
    """Secrets with data, unless SOPS has encrypted it."""
    for resource in context.of_kind("Secret"):
        if resource.obj.get("sops"):
            continue
        for key in ("data", "stringData"):
            values = resource.obj.get(key)
            readable = [
                name for name, value in (values if isinstance(values, dict) else {}).items() if _readable(value)
            ]
            if readable:
                said = f"{', '.join(map(str, sorted(readable, key=str)))} can be read"
                yield context.finding(SECRET_IN_GIT, resource, (key,), said)


def _readable(value: Any) -> bool:
    return bool(value) and not str(value).startswith("ENC[")
