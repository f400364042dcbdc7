"""Changes of a rendered overlay, for tests: each is a function from objects to objects, so that they can be chained.

objects = changed(render(overlay), user_config("Ingress", revision="2"), deletion_delay(10))
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import yaml

from rayops.kube import Obj
from rayops.render import one, serve_config, set_image

Change = Callable[[list[Obj]], list[Obj]]


def changed(objects: Sequence[Obj], *changes: Change) -> list[Obj]:
    """The objects after all changes, in their order; the given ones stay as they are."""
    result = deepcopy(list(objects))
    for change in changes:
        result = change(result)
    return result


def spec(edit: Callable[[Obj], None]) -> Change:
    """Edit the spec of the RayService in place."""

    def apply(objects: list[Obj]) -> list[Obj]:
        edit(one(objects, "RayService")["spec"])
        return objects

    return apply


def serve(edit: Callable[[Obj], None]) -> Change:
    """Edit the Serve config as data."""

    def apply(objects: list[Obj]) -> list[Obj]:
        service = one(objects, "RayService")
        config = serve_config(service)
        edit(config)
        service["spec"]["serveConfigV2"] = yaml.safe_dump(config, sort_keys=False)
        return objects

    return apply


def deployment(name: str, **settings: Any) -> Change:
    """Set fields of one Serve deployment, found by name in whichever application has it; None removes a field."""

    def edit(config: Obj) -> None:
        found = [d for app in config["applications"] for d in app.get("deployments", []) if d["name"] == name]
        if not found:
            raise LookupError(f"no deployment {name} in the Serve config")
        for key, value in settings.items():
            found[0].pop(key, None)
            if value is not None:
                found[0][key] = value

    return serve(edit)


def user_config(name: str, **settings: Any) -> Change:
    """Set single values of a deployment's user_config; the others stay."""

    def apply(objects: list[Obj]) -> list[Obj]:
        apps = serve_config(one(objects, "RayService"))["applications"]
        before: Obj = next(
            (d.get("user_config", {}) for app in apps for d in app.get("deployments", []) if d["name"] == name), {}
        )
        return deployment(name, user_config={**before, **settings})(objects)

    return apply


def import_path(path: str) -> Change:
    """Let the first application be built from another place."""
    return serve(lambda config: config["applications"][0].update(import_path=path))


def image(reference: str) -> Change:
    """Run the pipeline from another image."""
    return lambda objects: set_image(objects, "pipeline", reference)


def deletion_delay(seconds: int) -> Change:
    """How long an old cluster stays after an upgrade."""
    return spec(lambda spec: spec.update(rayClusterDeletionDelaySeconds=seconds))


def idle_timeout(seconds: int) -> Change:
    """How long an idle worker stays before the autoscaler takes it away."""
    return spec(lambda spec: spec["rayClusterConfig"]["autoscalerOptions"].update(idleTimeoutSeconds=seconds))
