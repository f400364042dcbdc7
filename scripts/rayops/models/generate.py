"""What is written from the catalogue: routes, models of servers, lists of downloads, the table for people."""

from typing import Any

from rayops.environments import order
from rayops.models.places import GATEWAY, ROUTES, SERVERS, Overlay, Places
from rayops.models.schema import Catalogue, Model, Split

CACHE = "/srv/model-cache"
LIST_HEADER = "# Written by `rayops models sync` from apps/gateway/models.yaml: sha256 url path.\n"
PORT = 8000  # of Serve's proxies


def content(
    catalogue: Catalogue, places: Places, overlay: Overlay, application: str, only: list[str] | None = None
) -> dict[str, Any] | None:
    """What stands in the block of an application of an overlay; None where the application takes no models.

    only: of a variant, the ids that it has; None for all.
    """
    import_path = overlay.applications[application].import_path if application in overlay.applications else ""
    if import_path == ROUTES:
        return {"routes": routes(catalogue, places, overlay.environment)}
    if import_path not in SERVERS:
        return None
    models = [
        model
        for model in catalogue.models_in(overlay.environment)
        if (model.pipeline, model.application) == (overlay.pipeline, application)
        and not model.adapter_of
        and (only is None or model.id in only)
    ]
    key = SERVERS[import_path]
    return {
        key: [
            _embedder(model) if key == "serve_models" else _served(catalogue, model, overlay.environment)
            for model in models
        ]
    }


def names(block: dict[str, Any]) -> set[str]:
    """The ids that stand in a block, adapters included."""
    items = [item for listed in block.values() for item in listed]
    inner = [adapter["id"] for item in items for adapter in item.get("adapters", [])]
    return {*inner, *(str(item.get("id") or item.get("model") or item.get("name")) for item in items)}


def _served(catalogue: Catalogue, model: Model, environment: str) -> dict[str, Any]:
    adapters = catalogue.adapters_in(environment, model.id)
    return {
        "id": model.id,
        "source": where(model),
        "kind": model.kind,
        "aliases": list(model.aliases),
        **({"engine_args": model.engine_args} if model.engine_args else {}),
        **({"adapters": [{"id": each.id, "source": where(each)} for each in adapters]} if adapters else {}),
    }


def _embedder(model: Model) -> dict[str, Any]:
    return {"name": model.id, "folder": model.id, "aliases": list(model.aliases)}


def where(model: Model) -> str:
    """What a server loads: the model's folder in the cache, or its source where nothing is downloaded."""
    return f"{CACHE}/{model.id}" if model.files else model.source


def routes(catalogue: Catalogue, places: Places, environment: str) -> list[dict[str, Any]]:
    """The gateway's routes in an environment, splits after models."""
    found = [_route(catalogue, places, environment, model) for model in catalogue.models_in(environment)]
    return found + [_route(catalogue, places, environment, split) for split in catalogue.splits_in(environment)]


def _route(catalogue: Catalogue, places: Places, environment: str, entry: Model | Split) -> dict[str, Any]:
    weights = entry.weights if isinstance(entry, Split) else {entry.id: 1.0}
    models = {name: _model(catalogue, name) for name in weights}
    route: dict[str, Any] = {
        "model": entry.name,
        "aliases": [] if isinstance(entry, Split) else list(entry.aliases),
        "kind": next(iter(models.values())).kind,
        "targets": [{**_target(places, environment, models[name]), "weight": weights[name]} for name in weights],
    }
    if isinstance(entry, Split) and entry.shadow:
        shadow = _model(catalogue, entry.shadow.model)
        route["shadow"] = {**_target(places, environment, shadow), "share": entry.shadow.share}
    if entry.fallback:
        route["fallback"] = list(entry.fallback)
    times = {name: getattr(entry, name) for name in ("timeout_s", "first_byte_timeout_s")}
    return route | {name: int(value) if value == int(value) else value for name, value in times.items()}


def _model(catalogue: Catalogue, name: str) -> Model:
    found = catalogue.model(name)
    assert found is not None, name  # noqa: S101 - rules.py has refused it otherwise
    return found


def _target(places: Places, environment: str, model: Model) -> dict[str, Any]:
    overlay = places.overlays[environment, model.pipeline]
    host = "127.0.0.1" if model.pipeline == GATEWAY else overlay.host
    prefix = overlay.applications[model.application].prefix
    return {"name": model.id, "url": f"http://{host}:{PORT}{prefix}/v1", "model": model.id}


def downloads(catalogue: Catalogue, environment: str, pipeline: str) -> str:
    """The list for the model cache of an overlay. A model that is not pinned as a whole has no line."""
    lines = [LIST_HEADER]
    for model in catalogue.models_in(environment):
        if model.pipeline != pipeline or not model.files:
            continue
        if model.unpinned:
            lines.append(f"# {model.id}: not yet pinned, nothing is downloaded: {_count(model)}\n")
            continue
        template = model.download or catalogue.download
        for file in model.files:
            url = template.replace("{source}", model.source).replace("{revision}", str(model.revision))
            lines.append(f"{file.sha256} {url.replace('{path}', file.path)} {model.id}/{file.path}\n")
    return "".join(lines)


def _count(model: Model) -> str:
    files = [name for name in model.unpinned if name != "revision"]
    words = ["revision"] * ("revision" in model.unpinned)
    return " and ".join([*words, *([f"{len(files)} of {len(model.files)} files"] if files else [])])


def notes(catalogue: Catalogue) -> list[str]:
    """One line for each model that has a digest of zeros."""
    return [
        f"{model.id}: not yet pinned: {_count(model)}; no download line in {', '.join(model.environments)}"
        for model in catalogue.models
        if model.unpinned
    ]


def table(catalogue: Catalogue) -> str:
    """The models and the splits as Markdown."""
    head = ("model", "other names", "kind", "source", "licence", "GiB", "served by", "environments", "when it fails")
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for model in catalogue.models:
        served = f"{model.pipeline}/{model.application}" + (f", on {model.adapter_of}" if model.adapter_of else "")
        cells = [f"`{model.id}`", _names(model.aliases), model.kind, _source(model), model.licence]
        cells += [f"{model.size_gib:g}", served, _environments(model), _names(model.fallback)]
        lines.append(f"| {' | '.join(cells)} |")
    if catalogue.splits:
        lines += ["", "| split | parts | shadow | environments | when it fails |", f"|{'---|' * 5}"]
    for split in catalogue.splits:
        parts = ", ".join(f"`{name}` {weight:g}" for name, weight in split.weights.items())
        shadow = f"`{split.shadow.model}` {split.shadow.share:g}" if split.shadow else "-"
        cells = [f"`{split.alias}`", parts, shadow, _environments(split), _names(split.fallback)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _names(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "-"


def _environments(entry: Model | Split) -> str:
    return ", ".join(sorted(entry.environments, key=order))


def _source(model: Model) -> str:
    if not model.revision:
        return model.source
    revision = f"`{model.revision[:12]}`" if model.revision.strip("0") else "not yet pinned"
    pinned = "" if not model.unpinned or model.unpinned == ["revision"] else f", {_count(model)} not yet pinned"
    return f"{model.source} at {revision}{pinned}"
