"""What the deployments of a RayService ask for: replicas, and for each of them pieces that lie on a worker.

Of a deployment that the Serve config does not list nothing is known: its numbers stand in code. Two things are known
all the same: Serve's controller and its proxies ask for no CPU (ray/serve/_private/default_impl.py, proxy_state.py),
and `ray.serve.llm:build_openai_app` makes its deployments from the config's own `args`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rayops.errors import RayopsError
from rayops.matrix import replicas
from rayops.render import Obj, bundles_of, serve_config

LLM = "ray.serve.llm:build_openai_app"


@dataclass(frozen=True)
class Deployment:
    """A deployment with its options. path: where it stands, as in rayops.review.changes.Change.path.

    fewest, most: replicas. bundles: Ray's resources of each piece of a replica. strategy: how its pieces lie; "" for a
    replica without a placement group.
    """

    application: str
    name: str
    options: Mapping[str, Any]
    path: tuple[str, ...]
    fewest: int
    most: int

    @property
    def bundles(self) -> tuple[dict[str, float], ...]:
        """Of each piece of a replica, by Ray's names."""
        return bundles_of(dict(self.options))

    @property
    def strategy(self) -> str:
        """PACK, SPREAD, STRICT_PACK or STRICT_SPREAD; "" without a placement group. PACK is Serve's default."""
        if not self.options.get("placement_group_bundles"):
            return ""
        return str(self.options.get("placement_group_strategy") or "PACK")

    @property
    def per_worker(self) -> int | None:
        """max_replicas_per_node."""
        found = self.options.get("max_replicas_per_node")
        return int(found) if found else None

    def selectors(self, piece: int) -> tuple[Mapping[str, Any], ...]:
        """The label selectors of a piece, any of which will do: its own, then those of fallback_strategy."""
        options = self.options.get("ray_actor_options") or {}
        if self.strategy:
            listed = self.options.get("placement_group_bundle_label_selector") or []
            return ((listed[piece] if piece < len(listed) else listed[0] if len(listed) == 1 else {}) or {},)
        fallbacks = [each.get("label_selector") or {} for each in options.get("fallback_strategy") or []]
        return (options.get("label_selector") or {}, *fallbacks)


def deployments_of(service: Obj) -> list[Deployment]:
    """The deployments that the Serve config of a RayService speaks of. RayopsError where it is no Serve config."""
    found = []
    applications = _parsed(str(service["spec"].get("serveConfigV2"))) or serve_config(service)["applications"]
    for number, application in enumerate(applications):
        label = str(application.get("name", number))
        where = ("spec", "serveConfigV2", "applications", f"[{label}]")
        listed = {str(each.get("name", "?")): each for each in application.get("deployments") or []}
        built = _built(application)
        for name in [*built, *(name for name in listed if name not in built)]:
            options = {**built.get(name, {}), **listed.get(name, {})}
            path = (*where, "deployments", f"[{name}]") if name in listed else (*where, "args")
            found.append(_deployment(label, name, options, path))
    return found


@lru_cache(maxsize=1024)
def _parsed(text: str) -> list[dict[str, Any]] | None:
    """The applications of a Serve config, to read only; the same text is asked about at every size. None: see why."""
    try:
        return list(serve_config({"spec": {"serveConfigV2": text}})["applications"])
    except RayopsError:
        return None


def _deployment(application: str, name: str, options: Mapping[str, Any], path: tuple[str, ...]) -> Deployment:
    said = {key: value for key, value in options.items() if value is not None}
    fewest, most = replicas(said)
    return Deployment(application, name, said, path, fewest, max(fewest, most))


def _built(application: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What ray.serve.llm makes of `args.llm_configs`; a config in a file of its own is not looked into."""
    if application.get("import_path") != LLM:
        return {}
    configs = [each for each in (application.get("args") or {}).get("llm_configs") or [] if isinstance(each, dict)]
    found = {}
    for config in configs:
        own = dict(config.get("deployment_config") or {})
        loading = config.get("model_loading_config") or {}
        name = str(own.pop("name", None) or loading.get("model_id", "?").replace("/", "--").replace(".", "_"))
        placement = config.get("placement_group_config") or {}
        own["placement_group_bundles"] = list(_llm_bundles(config, own.get("ray_actor_options") or {}))
        own["placement_group_strategy"] = placement.get("strategy", "PACK")
        if isinstance(own.get("ray_actor_options"), dict):
            # The actor lies in the first bundle.
            own["ray_actor_options"] = {k: v for k, v in own["ray_actor_options"].items() if k == "runtime_env"}
        found[f"LLMServer:{name}"] = own
    if configs:
        found["OpenAiIngress"] = dict((application.get("args") or {}).get("ingress_deployment_config") or {})
    return found


def _llm_bundles(config: Mapping[str, Any], actor: Mapping[str, Any]) -> Iterator[dict[str, float]]:
    """A bundle for each GPU, the first with the replica's actor too.

    ray/llm/_internal/serve: engines/vllm/vllm_models.py (placement_bundles), core/server/llm_server.py
    (get_deployment_options), core/configs/accelerators.py (default_bundles).
    """
    engine, placement = config.get("engine_kwargs") or {}, config.get("placement_group_config") or {}
    count = int(engine.get("tensor_parallel_size") or 1) * int(engine.get("pipeline_parallel_size") or 1)
    accelerator = (config.get("accelerator_config") or {}).get("kind", "gpu")
    each = placement.get("bundle_per_worker") or {"CPU" if accelerator == "cpu" else accelerator.upper(): 1}
    bundles = [dict(bundle) for bundle in placement.get("bundles") or [each] * count]
    if kind := config.get("accelerator_type"):
        for bundle in bundles:
            bundle.setdefault(f"accelerator_type:{kind}", 0.001)
    replica = {"CPU": actor.get("num_cpus", 1), "GPU": actor.get("num_gpus", 0), **(actor.get("resources") or {})}
    replica |= {"memory": actor["memory"]} if actor.get("memory") else {}
    for name, value in replica.items():
        bundles[0][name] = bundles[0].get(name, 0) + value
    yield from bundles
