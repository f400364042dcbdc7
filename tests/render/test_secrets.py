"""Secrets are fetched or encrypted, exactly those that are needed, and none is plain anywhere."""

import functools
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from rayops.paths import ROOT
from rayops.render import Obj, of_kind, one, render
from rayops.render.crds import crds_of
from tests.render.composing import AT, TOGETHER, block, composed_of

Rendered = Callable[[Path], list[Obj]]
WAVE = "argocd.argoproj.io/sync-wave"
ENCRYPTED = re.compile(r"ENC\[AES256_GCM,data:.*,iv:.+,tag:.+,type:(str|int|bytes|bool|float)\]")
Compose = Callable[..., Path]
Composed = Callable[..., list[Obj]]


@pytest.fixture
def composed(compose: Compose, kustomize: Path) -> Composed:
    return functools.partial(composed_of, compose, kustomize)


def named_secrets(node: Any) -> set[str]:
    """The Secrets that an object needs: by secretKeyRef, an Ingress' TLS, or KubeRay's authOptions."""
    if isinstance(node, list):
        return {name for item in node for name in named_secrets(item)}
    if not isinstance(node, dict):
        return set()
    own = {node["secretKeyRef"]["name"]} if "secretKeyRef" in node else set()
    own |= {node["secretName"]} if isinstance(node.get("secretName"), str) else set()
    return own | {name for value in node.values() for name in named_secrets(value)}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (TOGETHER, {"ray-auth", "gcs-redis", "serve-tls"}),
        (("token-auth", "external-secrets"), {"ray-auth"}),
        (("gcs-fault-tolerance", "external-secrets"), {"gcs-redis"}),
        (("tls-ingress", "external-secrets"), {"serve-tls"}),
        (("external-secrets",), set()),
        (("token-auth", "gcs-fault-tolerance", "tls-ingress"), set()),
    ],
    ids=["all", "token", "redis", "tls", "nothing-needed", "no-store"],
)
def test_exactly_the_secrets_that_are_needed_are_fetched(
    composed: Composed, names: tuple[str, ...], expected: set[str]
) -> None:
    objects = composed(*names)
    fetched = of_kind(objects, "ExternalSecret")
    assert {obj["spec"]["target"]["name"] for obj in fetched} == expected
    if "external-secrets" in names:
        assert named_secrets([obj for obj in objects if obj not in fetched]) == expected
    for obj in fetched:
        assert obj["metadata"]["annotations"] == {WAVE: "-10"}
        assert obj["spec"]["secretStoreRef"] == {"kind": "ClusterSecretStore", "name": "platform"}
        keys = {entry["remoteRef"]["key"] for entry in obj["spec"]["data"]}
        assert keys == {f"local/rag/{obj['metadata']['name']}"}


def test_each_fetched_secret_has_the_keys_that_are_read(composed: Composed) -> None:
    objects = composed(*TOGETHER)
    keys = {
        obj["spec"]["target"]["name"]: {entry["secretKey"] for entry in obj["spec"]["data"]}
        for obj in of_kind(objects, "ExternalSecret")
    }
    assert keys == {"ray-auth": {"auth_token"}, "gcs-redis": {"password"}, "serve-tls": {"tls.crt", "tls.key"}}
    tls = one(objects, "ExternalSecret", "serve-tls")["spec"]
    assert tls["target"]["template"]["type"] == "kubernetes.io/tls"
    assert tls["refreshPolicy"] == "Periodic"
    for name in ("ray-auth", "gcs-redis"):  # read when a pod starts: never changed behind its back
        assert one(objects, "ExternalSecret", name)["spec"]["refreshPolicy"] == "OnChange"


def test_external_secrets_are_of_a_version_that_is_served(composed: Composed) -> None:
    fetched = of_kind(composed(*TOGETHER), "ExternalSecret")
    (crd,) = crds_of(fetched)
    versions = {version["name"]: version["served"] for version in crd["spec"]["versions"]}
    for obj in fetched:
        assert versions[obj["apiVersion"].rpartition("/")[2]] is True


def test_the_readme_leaves_the_certificate_to_others(composed: Composed) -> None:
    objects = composed(*TOGETHER, extra=block("external-secrets", "patches:"))
    assert {obj["metadata"]["name"] for obj in of_kind(objects, "ExternalSecret")} == {"ray-auth", "gcs-redis"}


def test_the_namespace_says_where_its_secrets_come_from(composed: Composed) -> None:
    for name in ("external-secrets", "sops"):
        component = name if name == "external-secrets" else "secrets-sops"
        assert one(composed(component), "Namespace")["metadata"]["labels"]["rayops.io/secrets"] == name


SEALED = """
apiVersion: v1
kind: Secret
metadata: {name: ray-auth}
stringData:
  auth_token: ENC[AES256_GCM,data:3q2+7w==,iv:AAAAAAAAAAA=,tag:AAAAAAAAAAA=,type:str]
sops:
  age: [{recipient: age1example, enc: "-----BEGIN AGE ENCRYPTED FILE-----"}]
  encrypted_regex: ^(data|stringData)$
  mac: ENC[AES256_GCM,data:3q2+7w==,iv:AAAAAAAAAAA=,tag:AAAAAAAAAAA=,type:str]
"""


def test_an_encrypted_secret_takes_the_place_of_the_fetched_one(
    compose: Compose, kustomize: Path, kubectl: Path
) -> None:
    folder = compose(*(AT + name for name in (*TOGETHER, "secrets-sops")), "base/rayservice")
    (folder / "ray-auth.secret.yaml").write_text(SEALED)
    file = folder / "kustomization.yaml"
    file.write_text(file.read_text().replace("resources:\n", "resources:\n- ray-auth.secret.yaml\n"))
    objects = render(folder, binary=kustomize)
    assert not of_kind(objects, "ExternalSecret")
    sealed, before = one(objects, "Secret"), yaml.safe_load(SEALED)
    assert (sealed["stringData"], sealed["sops"]) == (before["stringData"], before["sops"])
    assert sealed["metadata"] == {"name": "ray-auth", "namespace": "rag", "annotations": {WAVE: "-10"}}
    assert render(folder, binary=kubectl) == objects


def plain(objects: Iterable[Obj]) -> list[str]:
    """The Secrets among objects that show what they hold: a value that SOPS did not encrypt."""
    return [
        obj["metadata"]["name"]
        for obj in of_kind(objects, "Secret")
        if "sops" not in obj or not all(ENCRYPTED.fullmatch(str(value)) for value in values(obj))
    ]


def values(secret: Obj) -> list[Any]:
    return [value for field in ("data", "stringData") for value in (secret.get(field) or {}).values()]


def test_no_overlay_has_a_plain_secret(overlay: Path, rendered: Rendered) -> None:
    assert not plain(rendered(overlay))


def test_no_file_has_or_makes_a_plain_secret() -> None:
    """Also one that no kustomization lists."""
    files = [file for folder in ("apps", "base", "overlays") for file in (ROOT / folder).rglob("*.yaml")]
    assert not [file for file in files if file.name == "kustomization.yaml" and "secretGenerator" in file.read_text()]
    for file in files:
        if file.name.endswith(".secret.yaml") or "kind: Secret\n" in file.read_text():
            shown = plain(obj for obj in yaml.safe_load_all(file.read_text()) if holds_something(obj))
            assert not shown, f"{file}: encrypt it (sops encrypt --in-place), or fetch it by an ExternalSecret"


def holds_something(obj: Obj) -> bool:
    """Not so: a patch that adds an annotation to every Secret."""
    return bool({"data", "stringData"} & obj.keys())


def test_what_a_plain_secret_is() -> None:
    sealed = yaml.safe_load(SEALED)
    assert not plain([sealed])
    assert plain([{**sealed, "stringData": {**sealed["stringData"], "second": "open"}}]) == ["ray-auth"]
    assert plain([{**sealed, "data": {"auth_token": "c2VjcmV0"}}]) == ["ray-auth"]
    assert plain([{"kind": "Secret", "metadata": {"name": "empty"}}]) == ["empty"]


def test_sops_has_a_key_for_each_environment() -> None:
    rules = yaml.safe_load((ROOT / "overlays/.sops.yaml").read_text())["creation_rules"]
    environments = sorted(folder.parent.name for folder in (ROOT / "overlays").glob("*/environment"))
    for environment in environments:
        fitting = [rule for rule in rules if re.search(rule["path_regex"], f"{environment}/rag/ray-auth.secret.yaml")]
        assert len(fitting) == (environment != "local"), environment
    assert len({rule["age"] for rule in rules}) == len(rules), "a key of its own for each"
    for rule in rules:
        assert not re.search(rule["path_regex"], "prod/rag/kustomization.yaml")
        hidden = {field for field in yaml.safe_load(SEALED) if re.search(rule["encrypted_regex"], field)}
        assert hidden == {"stringData"}


def lists_of_components() -> dict[Path, list[Path]]:
    """Each kustomization's components of base, in order."""
    found = {}
    for file in [
        *(ROOT / "base/profiles").rglob("kustomization.yaml"),
        *(ROOT / "overlays").rglob("kustomization.yaml"),
    ]:
        entries = yaml.safe_load(file.read_text()).get("components", [])
        found[file.relative_to(ROOT)] = [(file.parent / entry).resolve().relative_to(ROOT) for entry in entries]
    return found


def misplaced(components: list[Path]) -> list[str]:
    """Components with a Secret to be fetched that stand after external-secrets: theirs would stay hidden."""
    fetcher = Path(AT + "external-secrets")
    after = components[components.index(fetcher) :] if fetcher in components else []
    return [component.name for component in after if (ROOT / component / "externalsecret.yaml").exists()]


def test_secrets_are_fetched_after_all_that_need_them() -> None:
    for file, components in lists_of_components().items():
        assert not misplaced(components), f"{file}: list {misplaced(components)} before external-secrets"
    assert misplaced([Path(AT + "external-secrets"), Path(AT + "tls-ingress")]) == ["tls-ingress"]
