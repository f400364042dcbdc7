"""Schema family: what the API server drops, what Ray refuses, what KubeRay refuses: before the merge."""

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rayops.lint import crd_schema, serve_schema, serve_validators
from rayops.lint.context import Context
from rayops.lint.guard import load
from rayops.lint.model import Finding, Rule
from rayops.lint.rules import check, declare
from rayops.lint.validate import Problem, Validator

if TYPE_CHECKING:
    from rayops.render.sources import Resource

API = "https://ray-project.github.io/kuberay/reference/api/"
SERVE = "https://docs.ray.io/en/latest/serve/production-guide/config.html"
CRD_SCHEMA = Rule(
    "crd-schema",
    "schema",
    "error",
    "a field has a type or value that KubeRay's CRD does not have, so the API server refuses the object",
    "write a value of the type that the message names",
    API,
)
CRD_UNKNOWN_FIELD = Rule(
    "crd-unknown-field",
    "schema",
    "error",
    "KubeRay's CRD has no such field: the API server drops it without a word, and it has no effect",
    "correct the name or the indentation, or remove the field",
    API,
)
SERVE_CONFIG = Rule(
    "serve-config",
    "schema",
    "error",
    "Ray refuses this Serve config when KubeRay submits it: the old one stays, a new cluster never becomes ready",
    "correct the field that the message names",
    "base/observability/runbooks/serve-config-invalid.md",
)
SERVE_UNKNOWN_FIELD = Rule(
    "serve-unknown-field",
    "schema",
    "error",
    "Ray's schema of Serve configs has no such field: Ray drops it without a word, and it has no effect",
    "correct the name or the indentation, or remove the field",
    SERVE,
)
declare(CRD_SCHEMA, CRD_UNKNOWN_FIELD)


@check(SERVE_CONFIG, SERVE_UNKNOWN_FIELD)
def serve_config(context: Context) -> Iterator[Finding]:
    """Each RayService's Serve config against the pinned Ray's schema and validators."""
    for ray in context.services:
        for problem in serve_problems(ray.spec.get("serveConfigV2")):
            rule = SERVE_UNKNOWN_FIELD if problem.unknown else SERVE_CONFIG
            yield context.finding(rule, ray.resource, (*ray.serve_path, *problem.path), problem.message)


@functools.cache
def _validator() -> Validator:
    return Validator(serve_schema.schema())


@functools.lru_cache(maxsize=1024)
def serve_problems(text: str | None) -> list[Problem]:
    """What is wrong with the text of a Serve config; [] where it is right. Paths are inside the config."""
    if text is None or not str(text).strip():
        return [Problem((), "serveConfigV2 is empty: no application would run")]
    try:
        config = load(str(text))
    except ValueError as error:
        return [Problem((), f"serveConfigV2 is not YAML: {error}")]
    if not isinstance(config, dict):
        return [Problem((), "serveConfigV2 is no mapping with a list of applications")]
    found = _validator().problems(config) if "applications" in config else _no_applications()
    return found if any(not each.unknown for each in found) else found + serve_validators.problems(config)


def _no_applications() -> list[Problem]:
    return [Problem(("applications",), "serveConfigV2 has no list of applications")]


def crd_findings(resource: "Resource", source: str) -> list[Finding]:
    """What of an object of ray.io does not fit its CRD. Not a check: rules see only objects that fit."""
    context = Context(source, "", ())
    found = crd_schema.problems(resource.obj)
    if found is None:
        version, kind = resource.obj.get("apiVersion"), resource.obj.get("kind")
        return [context.finding(CRD_SCHEMA, resource, ("kind",), f"KubeRay has no kind {kind} in {version}")]
    rules = {True: CRD_UNKNOWN_FIELD, False: CRD_SCHEMA}
    return [context.finding(rules[each.unknown], resource, each.path, each.message) for each in found]
