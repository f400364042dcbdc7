"""This checkout as a Git repository in the cluster: what controllers sync. Change files, commit, push."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

import yaml

from rayops import proc
from rayops.kube import Forward, Kube, Obj, Timeout, equals, eventually
from rayops.kube.objects import DEPLOYMENT, POD, dig, name_of
from rayops.paths import ROOT
from rayops.render import render, set_image
from tests.harness.selectors import ready_pods

MANIFESTS = Path(__file__).parent / "manifests"
NAMESPACE = "git"
PORT = 8080
# As the controllers reach it; the paths are the same from this machine, through a forwarded port.
IN_CLUSTER = "http://git.git.svc.cluster.local"
SETTINGS = ["-c", "user.name=rayops-tests", "-c", "user.email=tests@example.com", "-c", "commit.gpgsign=false"]
# In one piece: a CGI server takes no chunked bodies, which git sends above this size.
SETTINGS += ["-c", "http.postBuffer=256m"]


def install(kube: Kube, component: str, image: str) -> None:
    """Apply a folder of ./manifests with its one image, and wait until its pod is ready."""
    objects = set_image(render(MANIFESTS / component), f"delivery-{_image_of(component)}", image)
    kube.apply(objects)
    (deployment,) = (obj for obj in objects if obj["kind"] == "Deployment")
    wait_available(kube, deployment["metadata"]["namespace"], name_of(deployment))


def wait_available(kube: Kube, namespace: str, name: str) -> None:
    """Wait until the newest pods of a Deployment, and only they, are ready."""

    def newest(found: Obj) -> tuple[bool, int, int]:
        seen = dig(found, "status", "observedGeneration") == found["metadata"]["generation"]
        count = {field: int(dig(found, "status", field, default=0)) for field in ("updatedReplicas", "readyReplicas")}
        return seen, count["updatedReplicas"], count["readyReplicas"]

    eventually(
        lambda: kube.get(DEPLOYMENT, name, namespace),
        newest,
        equals((True, 1, 1)),
        Timeout.MEDIUM,
        f"Deployment {namespace}/{name} ready",
    )


def _image_of(component: str) -> str:
    return {"git": "gitserver", "argocd": "argocd", "flux": "kustomize-controller"}[component]


@dataclass(frozen=True)
class Commit:
    """A pushed commit. pushed: `time.monotonic()` when the server had it."""

    sha: str
    pushed: float

    def seconds(self) -> float:
        """Since the push."""
        return round(time.monotonic() - self.pushed, 1)


class GitServer:
    """The Git server in the cluster, seen from this machine through a forwarded port."""

    def __init__(self, kube: Kube) -> None:
        self._forward = Forward(kube, NAMESPACE, lambda: _git_pod(kube), PORT)

    def close(self) -> None:
        """Let the forwarded port go; the server keeps what was pushed."""
        self._forward.close()

    def url(self, repository: str) -> str:
        """Where git on this machine finds a repository."""
        return f"{self._forward.url}/{repository}.git"

    def commit_of(self, repository: str, ref: str) -> str:
        """The commit that a ref (refs/heads/main) points to. LookupError when there is no such ref."""
        listed = git("ls-remote", self.url(repository), ref).split()
        if not listed:
            raise LookupError(f"{repository} has no {ref}")
        return listed[0]

    def archive(self, repository: str, sha: str) -> bytes:
        """A commit as the archive that the server gives to Flux."""
        opener = build_opener(ProxyHandler({}))
        with opener.open(self._forward.url + artifact_path(repository, sha), timeout=Timeout.SHORT.value) as answer:
            return bytes(answer.read())


class Repository:
    """A clone of a repository on the server. folder: its files."""

    def __init__(self, server: GitServer, name: str, folder: Path) -> None:
        self.folder = folder
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("remote", "add", "origin", server.url(name))

    def git(self, *arguments: str) -> str:
        """Run git in the clone; its output."""
        return git(*arguments, cwd=self.folder)

    def commit(self, message: str, *, tag: str = "") -> Commit:
        """Commit everything and push it, with a tag if one is given."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        if tag:
            self.git("tag", tag)
        # By force: a kept cluster has what an earlier run pushed.
        self.git("push", "--quiet", "--force", "origin", "main", *([tag] if tag else []))
        return self.head()

    def revert(self) -> Commit:
        """The commit that takes the last one back."""
        self.git("revert", "--no-edit", "HEAD")
        self.git("push", "--quiet", "origin", "main")
        return self.head()

    def head(self) -> Commit:
        """The last commit, as if it had just been pushed."""
        return Commit(self.git("rev-parse", "HEAD").strip(), time.monotonic())

    def back_to(self, commit: Commit) -> None:
        """Make the branch end in the content of an earlier commit, if it does not."""
        self.git("reset", "--quiet", "--hard", "HEAD")
        if self.git("diff", "--name-only", "HEAD", commit.sha).strip():
            self.git("read-tree", "-u", "--reset", commit.sha)
            self.commit(f"Back to {commit.sha[:8]}")

    def edit(self, file: str, change: Callable[[Any], object]) -> None:
        """Change a YAML file that holds one document."""
        path = self.folder / file
        content = yaml.safe_load(path.read_text())
        change(content)
        path.write_text(yaml.safe_dump(content, sort_keys=False))

    def replace(self, file: str, pattern: str, by: str) -> None:
        """Replace a pattern of lines in a text file; it must be there."""
        path = self.folder / file
        text, count = re.subn(pattern, by, path.read_text(), flags=re.MULTILINE)
        if not count:
            raise LookupError(f"{file} has no line like {pattern}")
        path.write_text(text)


def git(*arguments: str, cwd: Path | None = None) -> str:
    """Run git with nobody's settings but ours; its output."""
    local = {"no_proxy": "127.0.0.1", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    return proc.run(["git", *SETTINGS, *arguments], cwd=cwd, env=local, timeout=Timeout.SHORT.value)


def copy_checkout(folder: Path) -> None:
    """What Git knows of this checkout, and what is new in it, as it lies on disk: committed or not."""
    listing = proc.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT)
    for name in filter(None, listing.split("\0")):
        source, target = ROOT / name, folder / name
        if source.is_file():  # one may have been deleted, and not yet in Git
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())


def artifact_path(repository: str, sha: str) -> str:
    """Path of a commit's archive on the server."""
    return f"/artifact/{repository}/{sha}.tar.gz"


def _git_pod(kube: Kube) -> str:
    pods = [pod for pod in kube.list(POD, NAMESPACE) if ready_pods([pod])]
    if not pods:
        raise LookupError("no pod of the Git server is ready")
    return name_of(pods[0])
