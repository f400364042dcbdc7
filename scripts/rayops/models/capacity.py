"""Whether the catalogue's models have a place: pipeline, application and worker group, and room in that group."""

from rayops.models import room
from rayops.models.document import Document, Place
from rayops.models.places import GATEWAY, ROUTES, SERVERS, Group, Overlay, Places
from rayops.models.schema import STAND_IN, Catalogue, Model


class Faults:
    """Faults of one entry by environment; those that are the same in several environments become one line."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._found: dict[tuple[Place, str, str], list[str]] = {}

    def add(self, place: Place, environment: str, what: str, fix: str) -> None:
        """Note a fault of an environment."""
        self._found.setdefault((place, what, fix), []).append(environment)

    def tell(self) -> None:
        """Put them into the document."""
        for (place, what, fix), environments in self._found.items():
            self._document.fault(place, f"{what} in {', '.join(environments)}", fix)


def check(document: Document, catalogue: Catalogue, places: Places) -> None:
    """Note every model that has no place, or does not fit into it."""
    faults = Faults(document)
    for entry in catalogue.entries:
        for number, environment in enumerate(entry.environments):
            place = document.at(entry, "environments", number)
            if environment not in places.environments():
                known = ", ".join(sorted(places.environments()))
                document.fault(place, f"there is no overlays/{environment}", f"one of: {known}")
            elif not _gateway(places, environment):
                faults.add(place, environment, "no gateway", f"overlays/ENVIRONMENT/{GATEWAY} with {ROUTES}")
            elif isinstance(entry, Model):
                _place(document, catalogue, places, faults, entry, environment)
    for overlay in places.overlays.values():
        _together(document, catalogue, faults, overlay)
    faults.tell()


def _gateway(places: Places, environment: str) -> bool:
    overlay = places.overlays.get((environment, GATEWAY))
    return overlay is not None and any(each.import_path == ROUTES for each in overlay.applications.values())


def _place(
    document: Document, catalogue: Catalogue, places: Places, faults: Faults, model: Model, environment: str
) -> None:
    overlay = places.overlays.get((environment, model.pipeline))
    if overlay is None:
        broken = places.broken.get((environment, model.pipeline))
        what = broken or f"no pipeline {model.pipeline}"
        fix = "mend the overlay" if broken else f"one of: {', '.join(places.pipelines(environment))}"
        faults.add(document.at(model, "pipeline"), environment, what, fix)
        return
    _application(document, faults, model, overlay)
    if model.files and not overlay.caches:
        fix = f"list base/components/model-cache in overlays/ENVIRONMENT/{model.pipeline}"
        faults.add(document.at(model, "files"), environment, "nothing downloads them", fix)
    _fits(document, catalogue, faults, model, overlay)


def _application(document: Document, faults: Faults, model: Model, overlay: Overlay) -> None:
    application = overlay.applications.get(model.application)
    servers = [each.name for each in overlay.applications.values() if each.import_path in SERVERS]
    if application is None or application.name not in servers:
        why = "is no server of models" if application else "is none"
        what = f"{model.application} {why} of {model.pipeline}"
        fix = f"one of: {', '.join(servers)}" if servers else "a pipeline that serves models"
        faults.add(document.at(model, "application"), overlay.environment, what, fix)


def _group(document: Document, faults: Faults, model: Model, overlay: Overlay) -> Group | None:
    place, name = document.at(model, "group"), model.group_in(overlay.environment)
    there = ", ".join(group.name for group in overlay.groups.values() if group.replicas)
    if name is None:
        faults.add(place, overlay.environment, "names no group", f"one of: {there}")
        return None
    group = overlay.groups.get(name)
    if group is None:
        faults.add(place, overlay.environment, f"{model.pipeline} has no worker group {name}", f"one of: {there}")
    elif not group.replicas:
        fix = f"{name}Max in its sizing.env, or another group"
        faults.add(place, overlay.environment, f"group {name} may have no worker", fix)
        return None
    return group


def _fits(document: Document, catalogue: Catalogue, faults: Faults, model: Model, overlay: Overlay) -> None:
    group = _group(document, faults, model, overlay)
    if group is None or model.adapter_of:  # its base counts it
        return
    application = overlay.applications.get(model.application)
    found = room.need(catalogue, model, overlay.environment, application.engine_args if application else {})
    if isinstance(found, room.Need):
        wrong = room.misfit(found, group, catalogue.gpu_memory_gib.get(group.name))
        if wrong:
            faults.add(document.at(model, "group"), overlay.environment, *wrong)
    else:
        faults.add(document.at(model, "engine_args"), overlay.environment, *found)


def _together(document: Document, catalogue: Catalogue, faults: Faults, overlay: Overlay) -> None:
    """One replica of each engine of a group at once: an engine shares its GPUs with no other."""
    beside: dict[str, list[str]] = {}
    taken: dict[str, int] = {}
    for model in catalogue.models_in(overlay.environment):
        application = overlay.applications.get(model.application)
        if model.pipeline != overlay.pipeline or application is None or model.adapter_of or model.source == STAND_IN:
            continue
        group = overlay.groups.get(model.group_in(overlay.environment) or "")
        found = room.need(catalogue, model, overlay.environment, application.engine_args)
        if group is None or SERVERS.get(application.import_path) != "models" or not isinstance(found, room.Need):
            continue
        most = int(group.gpus * group.hosts) * group.replicas
        if most and found.parts <= most < taken.get(group.name, 0) + found.parts:
            what = f"no place beside {', '.join(beside[group.name])}: group {group.name} has at most {most} GPUs"
            faults.add(document.at(model, "group"), overlay.environment, what, "more workers, or another group")
        beside.setdefault(group.name, []).append(model.id)
        taken[group.name] = taken.get(group.name, 0) + found.parts


def wanted(catalogue: Catalogue) -> set[tuple[str, str]]:
    """The overlays that the models are served by, as (environment, pipeline)."""
    return {(environment, model.pipeline) for model in catalogue.models for environment in model.environments}
