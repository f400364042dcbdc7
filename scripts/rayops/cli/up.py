"""rayops up: every step from a bare machine to the first answer, each skipped when its goal is already reached."""

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rayops.errors import RayopsError
from rayops.paths import CACHE, EVIDENCE, ROOT, checkout_id

if TYPE_CHECKING:
    from rayops.cluster.kind import KindCluster
    from rayops.cluster.node_image import NodeImage
    from rayops.kube import Health, Kube
    from rayops.pipeline import Deployed
    from rayops.steps import Step, Steps

STOP = f"{Path(sys.executable).with_name('rayops')} down"
TIMINGS = CACHE / "timings.json"
STEPS = (
    "prerequisites",
    "tools",
    "node image",
    "cluster",
    "operator",
    "pipeline image",
    "overlay",
    "healthy",
    "first answer",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `rayops up`."""
    parser.add_argument("--pipeline", default="rag", metavar="NAME", help="folder below overlays/ENV (default: rag)")
    parser.add_argument("--env", default="local", help="folder below overlays (default: local)")
    parser.add_argument("--cluster", default=f"rayops-{checkout_id()}", metavar="NAME", help="name of the kind cluster")
    parser.add_argument("--nodes", type=_at_least_one, default=1, help="nodes of a new cluster (default: 1)")
    parser.add_argument("--offline", action="store_true", help="ask no container registry: build what it would give")
    parser.add_argument("--node-image", metavar="IMAGE", help="pull this kind node image instead of the pinned one")
    parser.add_argument("--until", choices=STEPS, metavar="STEP", help=f"stop after a step: {', '.join(STEPS)}")
    parser.add_argument("--serve-only", action="store_true", help="no Kubernetes: the same serve.yaml on a local Ray")
    parser.add_argument("--timings", action="store_true", help="print the times of the last run, step by step")


def _at_least_one(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of nodes")
    return int(text)


def run(options: argparse.Namespace) -> int:
    """Bring the pipeline up, or print the times of the last time."""
    from rayops import serve_only
    from rayops.steps import Step, Steps, read_timings, timings_table

    if options.timings:
        file, command = TIMINGS, "./scripts/up"
        if options.serve_only:
            file, command = serve_only.TIMINGS, "./scripts/up --serve-only"
        steps = read_timings(file)
        if not steps:
            raise RayopsError("no run is recorded yet", hint=command)
        print(timings_table(steps))
        return 0
    if options.serve_only:
        return serve_only.up(options.pipeline, options.env)
    runner = Steps()
    if seconds := float(os.environ.get("RAYOPS_PYTHON_SECONDS", "0")):
        runner.done.append(Step("python", "environment of scripts/requirements/rayops.txt", seconds=seconds))
    whole = Up(options, runner)
    try:
        whole.run()
    finally:
        if not options.until:  # part of a run says nothing about a whole one
            runner.write(TIMINGS)
    return 0


@dataclass
class Up:
    """One run: what the steps hand to each other."""

    options: argparse.Namespace
    steps: "Steps"
    overlay: Path = field(init=False)

    def __post_init__(self) -> None:
        self.overlay = find_overlay(self.options.env, self.options.pipeline)
        check_images(self.options.env)

    def run(self) -> None:
        """All steps, or those up to --until."""
        from rayops.cluster.kind import KindCluster

        cluster = KindCluster(self.options.cluster)
        with contextlib.suppress(_Enough):
            with self._step("prerequisites") as step:
                _prerequisites(step)
            with self._step("tools") as step:
                _tools(step, checks=self.options.until == "tools")
            with self._step("node image") as step:
                image = self._node_image(step)
            with self._step("cluster") as step:
                self._cluster(cluster, image, step)
            with self._step("operator") as step:
                self._operator(cluster, step)
            with self._step("pipeline image") as step:
                reference = self._pipeline_image(cluster, step)
            self._pipeline(cluster, reference)

    def _pipeline(self, cluster: "KindCluster", reference: str) -> None:
        from rayops import pipeline
        from rayops.kube import Kube

        kube = Kube.connect(cluster.kubeconfig)
        with self._step("overlay") as step:
            deployed = pipeline.deploy(kube, self.overlay, reference)
            note = f"{self.overlay.relative_to(ROOT)} → RayService {deployed.namespace}/{deployed.name}"
            step.say(note) if deployed.changed else step.skip(f"{note} as it is")
        with self._step("healthy") as step, self._evidence(kube, deployed.namespace):
            _healthy(kube, deployed, step)
        url = f"http://127.0.0.1:{cluster.host_port(deployed.node_ports['serve'])}"
        with self._step("first answer") as step, self._evidence(kube, deployed.namespace):
            answer = pipeline.first_answer(self.options.pipeline, url)
            step.say(f"{answer.milliseconds:.0f} ms")
        dashboard = f"http://127.0.0.1:{cluster.host_port(deployed.node_ports['dashboard'])}"
        self.steps.console.print(f"\n[green]up[/green] in {self.steps.total():.1f} s\n")
        self.steps.console.print(pipeline.screen(answer, url, dashboard, cluster.kubeconfig, STOP), markup=False)

    @contextlib.contextmanager
    def _step(self, name: str) -> Iterator["Step"]:
        with self.steps.step(name) as step:
            yield step
        if name == self.options.until:
            raise _Enough

    @contextlib.contextmanager
    def _evidence(self, kube: "Kube", namespace: str) -> Iterator[None]:
        """Keep logs, events and statuses when a step fails, and name the folder in the error."""
        try:
            yield
        except RayopsError as error:
            from rayops.kube.evidence import save_evidence

            folder = EVIDENCE / time.strftime(f"up-{namespace}-%Y%m%d-%H%M%S")
            error.evidence = save_evidence(kube, namespace, folder)
            raise

    def _node_image(self, step: "Step") -> "NodeImage":
        from rayops.cluster import node_image

        image, done = node_image.ensure(offline=self.options.offline, image=self.options.node_image)
        step.say(done) if done else step.skip(f"{image.reference} is there")
        return image

    def _cluster(self, cluster: "KindCluster", image: "NodeImage", step: "Step") -> None:
        if cluster.running():
            step.skip(f"{cluster.name} runs")
            return
        cluster.create(image, nodes=self.options.nodes)
        step.say(f"{cluster.name}, {self.options.nodes} node{'s' * (self.options.nodes > 1)}")

    def _operator(self, cluster: "KindCluster", step: "Step") -> None:
        from rayops.cluster import operator

        image, _ = operator.ensure_image(offline=self.options.offline)
        operator.ensure_chart(offline=self.options.offline)
        values = ROOT / "overlays" / self.options.env / "operator-values.yaml"
        done = operator.install(cluster, image, values if values.exists() else None)
        step.say(done) if done else step.skip("as installed")

    def _pipeline_image(self, cluster: "KindCluster", step: "Step") -> str:
        from rayops.cluster import pipeline_image

        reference, done = pipeline_image.ensure(offline=self.options.offline)
        if not cluster.has_image(reference):
            cluster.load(reference, f"{reference.partition(':')[0]}:dev")
            done = done or f"{reference} loaded"
        step.say(done) if done else step.skip(f"{reference} is on the node")
        return reference


class _Enough(Exception):  # noqa: N818
    """--until was reached."""


def find_overlay(environment: str, pipeline: str) -> Path:
    """The folder of a pipeline in an environment. Raises RayopsError with those that there are."""
    overlay = ROOT / "overlays" / environment / pipeline
    if pipeline and (overlay / "kustomization.yaml").is_file():
        return overlay
    there = sorted(
        f"{path.parent.parent.name}/{path.parent.name}" for path in ROOT.glob("overlays/*/*/kustomization.yaml")
    )
    raise RayopsError(f"no overlay overlays/{environment}/{pipeline}", hint=f"there are: {', '.join(there)}")


def check_images(environment: str) -> None:
    """RayopsError where the environment's pods run images of a registry: what this machine builds is not theirs."""
    import yaml

    from rayops.pipeline import IMAGE

    file = ROOT / "overlays" / environment / "environment" / "images" / "kustomization.yaml"
    listed = (yaml.safe_load(file.read_text()).get("images") or []) if file.is_file() else []
    names = [entry.get("newName", "") for entry in listed if entry.get("name") == "pipeline"]
    if names and IMAGE not in names:
        message = f"overlays/{environment} is not for a laptop: its pods run {names[0]} from a registry"
        hint = f"rayops up --env local; or, on a cluster of that environment: kubectl apply -k overlays/{environment}"
        raise RayopsError(message, hint=hint)


def _prerequisites(step: "Step") -> None:
    from rayops.cluster import engine

    done = engine.ensure()
    note = done or f"docker engine {engine.version()} answers"
    step.say(note) if done else step.skip(note)


def _tools(step: "Step", *, checks: bool) -> None:
    """What is pinned. checks: also the programs of rayops' own checks, else built when they are first asked."""
    from rayops.cluster import tools

    missing = tools.missing()
    if missing:
        tools.build(missing)
    if checks:
        from rayops.kuberay import program as kuberay
        from rayops.render import renderer

        for build in (renderer.program, kuberay.program, kuberay.schemas):
            build()
    if missing:
        step.say(f"{', '.join(tool.name for tool in missing)} built")
    else:
        step.skip(f"{', '.join(tools.TOOLS)} are there")


def _healthy(kube: "Kube", deployed: "Deployed", step: "Step") -> None:
    from rayops import proc
    from rayops.kube.rollout import look, wait_healthy

    def tell(health: "Health") -> None:
        proc.on_line(str(health))

    if not deployed.changed and look(kube, deployed.namespace, deployed.name).healthy:
        step.skip("is healthy")
        return
    health = wait_healthy(kube, deployed.namespace, deployed.name, tell=tell)
    step.say(health.message)
