"""Argo CD core 3.5.7: application controller, repo server, ApplicationSet controller and Redis, in one pod."""

from rayops.kube import Kube, Obj, Timeout, dig
from rayops.kube.objects import Kind, labels_of, name_of
from rayops.kube.wait import eventually, itself
from tests.harness.delivery import images
from tests.harness.delivery.controller import Verdict
from tests.harness.delivery.crds import apply_crds
from tests.harness.delivery.repository import install

APPLICATION = Kind("argoproj.io/v1alpha1", "Application")
APPLICATION_SET = Kind("argoproj.io/v1alpha1", "ApplicationSet")
APP_PROJECT = Kind("argoproj.io/v1alpha1", "AppProject")
DELIVERS = "rayops.io/delivers"
CONFIGURATION = {"ConfigMap", "Secret"}
REFRESH = "argocd.argoproj.io/refresh"
# An Application with it takes what it applied along when it is deleted.
CASCADE = "resources-finalizer.argocd.argoproj.io"


class ArgoCd:
    """Argo CD and the one Application that syncs a pipeline. objects: what a company applies to Argo CD's namespace."""

    name = "argocd"
    namespace = "argocd"
    # It watches, and refreshes every 10 s here.
    looks_again_s = 15.0

    def __init__(self, kube: Kube, image: str, application: str, objects: list[Obj]) -> None:
        self._kube, self._image, self._application, self._objects = kube, image, application, objects

    def install(self) -> None:
        """Definitions, configuration, pod."""
        apply_crds(self._kube, images.argocd_source() / "manifests" / "crds")
        configuration = [obj for obj in self._objects if obj["kind"] in CONFIGURATION]
        self._kube.apply([namespace(self.namespace), *configuration], namespace=self.namespace)
        install(self._kube, "argocd", self._image)

    def start(self) -> None:
        """Apply what a person applies once, and wait until the waves have come to the pipeline's Application."""
        self._kube.apply([obj for obj in self._objects if obj["kind"] not in CONFIGURATION])
        eventually(
            lambda: {name_of(app): self._state(app) for app in self._kube.list(APPLICATION, self.namespace)},
            itself,
            lambda apps: self._application in apps,
            Timeout.LONG,
            f"Application {self._application} made",
        )

    def look_now(self) -> None:
        """Ask for a refresh, as a webhook does."""
        body = {"metadata": {"annotations": {REFRESH: "hard"}}}
        self._kube.patch(APPLICATION, self._application, self.namespace, body)

    def verdict(self) -> Verdict:
        """Sync status, health, and the causes that it names: of the sum, of each object, of the comparison."""
        app = self._app()
        sync, health = (str(dig(app, "status", part, "status", default="")) for part in ("sync", "health"))
        operation = dig(app, "status", "operationState", default={})
        causes = [f"{c['type']}: {c['message']}" for c in dig(app, "status", "conditions", default=[])]
        causes += [
            f"{r['kind']}/{r['name']} {dig(r, 'health', 'status')}: {dig(r, 'health', 'message', default='')}"
            for r in dig(app, "status", "resources", default=[])
            if dig(r, "health", "status", default="Healthy") != "Healthy"
        ]
        causes += [str(operation["message"])] if operation.get("phase") in {"Failed", "Error"} else []
        broken = any("ComparisonError" in cause for cause in causes)
        return Verdict(
            # What does not build has no revision in the sum; the operation has the last one that did.
            commit=str(dig(app, "status", "sync", "revision", default="")),
            state=f"{sync} {health}",
            healthy=sync == "Synced" and health == "Healthy" and not causes and operation.get("phase") != "Running",
            failed=broken or (sync == "Synced" and health == "Degraded"),
            message="; ".join(causes),
        )

    def stop(self) -> None:
        """Give up the pipelines, and with them what they applied; operator and CRDs stay."""
        for app in self._kube.list(APPLICATION, self.namespace):
            if labels_of(app).get(DELIVERS) != "pipeline":  # first of all the one that would bring the others back
                self._kube.delete(APPLICATION, name_of(app), self.namespace)
        preserve_nothing = {"spec": {"syncPolicy": {"preserveResourcesOnDeletion": False}}}
        sets = [name_of(made) for made in self._kube.list(APPLICATION_SET, self.namespace)]
        for name in sets:
            self._kube.patch(APPLICATION_SET, name, self.namespace, preserve_nothing)
        apps = [name_of(app) for app in self._kube.list(APPLICATION, self.namespace)]
        for name in apps:
            self._wait_cascades(name)
        for name in sets:
            self._kube.delete(APPLICATION_SET, name, self.namespace)
        for name in apps:
            self._kube.wait_gone(APPLICATION, name, self.namespace, timeout=Timeout.MEDIUM)

    def _wait_cascades(self, name: str) -> None:
        eventually(
            lambda: self._kube.get(APPLICATION, name, self.namespace),
            lambda app: dig(app, "metadata", "finalizers", default=[]),
            lambda finalizers: CASCADE in finalizers,
            Timeout.SHORT,
            f"the ApplicationSet lets Application {name} delete what it applied",
        )

    def objects(self) -> dict[str, object]:
        """Applications, ApplicationSets and AppProjects."""
        kinds = (APPLICATION, APPLICATION_SET, APP_PROJECT)
        return {kind.name: self._kube.list(kind, self.namespace) for kind in kinds}

    @staticmethod
    def _state(app: Obj) -> str:
        return f"{dig(app, 'status', 'sync', 'status')} {dig(app, 'status', 'health', 'status')}"

    def _app(self) -> Obj:
        return self._kube.get(APPLICATION, self._application, self.namespace)


def namespace(name: str) -> Obj:
    """A Namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
