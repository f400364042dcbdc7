"""Traefik in a cluster, and the one host of an environment as its clients see it.

host = install(kube, cluster, render(folder_with_the_gateway))
host.client().post("/hello/normalize", json=…)     # http://ai.local.example.com/hello/normalize
host.client(tls=True).get("/v1/models")            # https://…, by the certificate of the listener

Traefik is built from its pinned Go module (scripts/tools/traefik) without its providers of DNS and Amazon ECS, most of
what it would compile. Program and image are kept by content.
"""

import datetime
import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from rayops import proc
from rayops.cluster import gobuild, rootfs
from rayops.kube import Kube, Obj, Timeout, dig, eventually
from rayops.kube.objects import DEPLOYMENT, NAMESPACE, Kind
from rayops.paths import CACHE, TOOLS, content_hash
from rayops.render import one, render, set_image
from rayops.render.crds import crds
from rayops.versions import pin
from tests.harness.cluster import Cluster
from tests.harness.platform import define, establish

HERE = Path(__file__).parent
MODULE = "github.com/traefik/traefik/v3"
LOG = CACHE / "logs" / "traefik.log"
PLACE = "ingress"
GATEWAY = Kind("gateway.networking.k8s.io/v1", "Gateway")
GATEWAY_CLASS = Kind("gateway.networking.k8s.io/v1", "GatewayClass")
HTTP_ROUTE = Kind("gateway.networking.k8s.io/v1", "HTTPRoute")


@dataclass(frozen=True)
class Host:
    """One host behind loopback ports. name: what clients ask for; clear, tls: http://… and https://127.0.0.1:PORT.

    authority: the certificate of the listener, by which clients know it.
    """

    name: str
    clear: str
    tls: str
    authority: str

    def client(self, *, tls: bool = False, **options: Any) -> httpx.Client:
        """A client whose requests are for this host, whatever address they go to; each on a connection of its own."""
        verify: ssl.SSLContext | bool = ssl.create_default_context(cadata=self.authority) if tls else True
        return httpx.Client(
            base_url=self.tls if tls else self.clear,
            headers={"host": self.name, "connection": "close"},
            event_hooks={"request": [self._named]},
            verify=verify,
            trust_env=False,
            **{"timeout": 60, **options},
        )

    def _named(self, request: httpx.Request) -> None:
        request.extensions["sni_hostname"] = self.name


def program() -> Path:
    """Traefik, built into the cache when it is not there."""
    folder = CACHE / "traefik" / content_hash(TOOLS / "traefik", pin("TRAEFIK_VERSION"))
    if not (folder / "traefik").exists():
        version = {f"{MODULE}/pkg/version.Version": pin("TRAEFIK_VERSION")}
        gobuild.build("traefik", [f"{MODULE}/cmd/traefik"], folder, symbols=version, name="traefik.unfinished")
        (folder / "traefik.unfinished").rename(folder / "traefik")
    return folder / "traefik"


def image() -> str:
    """Reference of the image, made when the engine lacks it."""
    reference = f"local/traefik:{content_hash(TOOLS / 'traefik', HERE / 'Dockerfile', pin('TRAEFIK_VERSION'))}"
    if not rootfs.image_exists(reference):
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            (Path(folder) / "traefik").hardlink_to(program())
            command = ["docker", "build", "--quiet", "-t", reference, "-f", str(HERE / "Dockerfile"), folder]
            proc.run(command, log=LOG, env={"DOCKER_BUILDKIT": "0"})
    return reference


def install(kube: Kube, cluster: Cluster, objects: Sequence[Obj]) -> Host:
    """Definitions, a Gateway with its namespace (objects), a certificate for its host, and Traefik; wait for all."""
    controller = set_image(render(HERE / "manifests"), "traefik", image())
    # All of the group: Traefik waits for each kind that it watches.
    define(kube, crds("gateway.networking.k8s.io"))
    establish(kube, objects)
    cluster.load_image(image())
    name = one(list(objects), "Gateway")["spec"]["listeners"][0]["hostname"]
    authority, key = certificate(name)
    secret = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": "ai-tls"}}
    kube.apply([obj for obj in objects if obj["kind"] == "Namespace"])
    kube.apply([{**secret, "stringData": {"tls.crt": authority, "tls.key": key}}], namespace=PLACE)
    kube.apply([*objects, *controller])
    eventually(
        lambda: kube.get(DEPLOYMENT, "traefik", PLACE),
        lambda found: dig(found, "status", "readyReplicas"),
        lambda ready: ready == 1,
        Timeout.MEDIUM,
        "Traefik is ready",
    )
    wait_programmed(kube)
    clear, tls = (cluster.address(PLACE, "traefik", port) for port in ("http", "https"))
    return Host(name, clear, tls.replace("http://", "https://"), authority)


def wait_programmed(kube: Kube) -> None:
    """The Gateway and each listener of its newest generation are in place."""
    eventually(
        lambda: kube.get(GATEWAY, "ai", PLACE),
        programmed,
        bool,
        Timeout.MEDIUM,
        "the Gateway is programmed",
    )


def programmed(gateway: Obj) -> bool:
    """Whether Gateway and listeners say so of the generation that there is."""
    listeners = dig(gateway, "status", "listeners", default=[])
    return len(listeners) == len(gateway["spec"]["listeners"]) and all(
        condition["status"] == "True" and condition["observedGeneration"] == gateway["metadata"]["generation"]
        for part in (gateway["status"], *listeners)
        for condition in part["conditions"]
        if condition["type"] in {"Accepted", "Programmed", "ResolvedRefs"}
    )


def wait_accepted(kube: Kube, namespace: str, name: str) -> None:
    """A route has a parent that took it, and its backend is there."""
    eventually(lambda: kube.get(HTTP_ROUTE, name, namespace), accepted, bool, Timeout.MEDIUM, f"route {name} is taken")


def accepted(route: Obj) -> bool:
    """Whether every parent of a route took it as it is now, and there is one."""
    parents = dig(route, "status", "parents", default=[])
    generation = route["metadata"]["generation"]
    conditions = [(c["type"], c["status"], c["observedGeneration"]) for p in parents for c in p["conditions"]]
    wanted = {(kind, "True", generation) for kind in ("Accepted", "ResolvedRefs")}
    return wanted <= set(conditions) and all(status == "True" for _, status, _ in conditions)


def remove(kube: Kube) -> None:
    """The namespace with all that is in it, and the class; the definitions stay."""
    kube.delete(NAMESPACE, PLACE)
    kube.delete(GATEWAY_CLASS, "traefik")
    kube.wait_gone(NAMESPACE, PLACE, timeout=Timeout.MEDIUM)


def certificate(host: str) -> tuple[str, str]:
    """A certificate for a host, its own authority and good for a day, and its key; both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.DNSName(host)])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, *form)
    return made.public_bytes(serialization.Encoding.PEM).decode(), private.decode()
