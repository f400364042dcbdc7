"""Pods for people and for scanners. What KubeRay added to the manifest's templates is marked with `+`."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from rayops.kuberay.asking import Answer
from rayops.render.objects import Obj, name_of, pod_specs

Answered = Sequence[tuple[Obj, Answer]]
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
HEAD = "headgroup"
GROUP = "ray.io/group"


def text(answered: Answered) -> str:
    """A block for each pod: containers, what they ask for, probes, environment."""
    return "\n".join(line for obj, answer in answered for line in _object(obj, answer)) + "\n"


def as_yaml(answered: Answered) -> str:
    """The pods as documents, for `kube-score score -` and the like."""
    import yaml

    return yaml.safe_dump_all(_pods(answered), sort_keys=False, explicit_start=True, width=120)


def as_json(answered: Answered) -> str:
    """The pods as one list."""
    return json.dumps(_pods(answered), indent=1) + "\n"


FORMATS = {"text": text, "yaml": as_yaml, "json": as_json}


def complaints(obj: Obj, answer: Answer) -> list[str]:
    """A line for each reason why there are no pods."""
    who = "KubeRay" if answer.admitted else "the API server"
    return [f"{name_of(obj)}: {who} refuses it: {each}" for each in answer.problems]


def _pods(answered: Answered) -> list[Obj]:
    return [pod for _, answer in answered for pod in answer.pods]


def _object(obj: Obj, answer: Answer) -> Iterator[str]:
    from rayops.fit import pod_amount

    written = dict(pod_specs(obj))
    yield f"{name_of(obj)}: {len(answer.pods)} {'pod' if len(answer.pods) == 1 else 'pods'}"
    for pod in answer.pods:
        group = pod["metadata"]["labels"][GROUP]
        template = written.get("head" if group == HEAD else group, {})
        yield f"\n  {pod['metadata']['name']}  (requests {pod_amount(pod)})"
        for kind in ("initContainers", "containers"):
            known = {each["name"]: each for each in template.get(kind) or []}
            for container in pod["spec"].get(kind) or []:
                init = "init container" if kind == "initContainers" else "container"
                yield from _container(container, known.get(container["name"]), init)


def _container(container: Obj, template: Obj | None, kind: str) -> Iterator[str]:
    mark = "+" if template is None else " "
    yield f"  {mark} {kind} {container['name']}  {container.get('image', '')}"
    for part in ("requests", "limits"):
        if amounts := (container.get("resources") or {}).get(part):
            yield f"        {part:<10}{', '.join(f'{name} {amount}' for name, amount in sorted(amounts.items()))}"
    for part in PROBES:
        if probe := container.get(part):
            added = template is not None and part not in template
            yield f"      {'+' if added else ' '} {part.removesuffix('Probe'):<10}{_probe(probe)}"
    names = {each["name"] for each in (template or {}).get("env") or []}
    for variable in container.get("env") or []:
        added = template is not None and variable["name"] not in names
        yield f"      {'+' if added else ' '} {variable['name']}{_value(variable)}"


def _probe(probe: Obj) -> str:
    if get := probe.get("httpGet"):
        action = f"GET :{get['port']}{get.get('path', '/')}"
    elif run := probe.get("exec"):
        action = " ".join(run["command"])
    else:
        action = next((f"{kind} :{probe[kind]['port']}" for kind in ("tcpSocket", "grpc") if kind in probe), "?")
    delay = f", first after {probe['initialDelaySeconds']} s" if probe.get("initialDelaySeconds") else ""
    # The API server's own defaults where a probe says nothing: every 10 s, 3 failures.
    return f"{action}, every {probe.get('periodSeconds', 10)} s, {probe.get('failureThreshold', 3)} failures{delay}"


def _value(variable: dict[str, Any]) -> str:
    source = variable.get("valueFrom")
    if not source:
        return f"={variable.get('value', '')}"
    if field := source.get("fieldRef"):
        return f" from {field['fieldPath']}"
    ((kind, where),) = source.items()
    return f" from {kind.removesuffix('Ref').removesuffix('Key')} {where.get('name', '')}/{where.get('key', '')}"
