"""One pipeline in a cluster: put its overlay there, find where it answers, ask it the sample question.

deployed = deploy(kube, ROOT / "overlays/local/rag", "local/pipeline:1a2b3c")
answer = first_answer("rag", "http://127.0.0.1:34567")
"""

import json
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rayops import render
from rayops.errors import RayopsError
from rayops.kube.objects import Obj, dig, kind_of, name_of
from rayops.kube.probe import Answer, probe
from rayops.kube.wait import Timeout, eventually
from rayops.paths import ROOT, app_folder

if TYPE_CHECKING:
    from rayops.kube import Kube

IMAGE = "local/pipeline"
SAMPLE = '{"path": "/ask", "body": {"question": "…"}}'


@dataclass(frozen=True)
class Deployed:
    """A RayService as applied. node_ports: by port name. changed: something in the cluster was not like this before."""

    namespace: str
    name: str
    node_ports: dict[str, int]
    changed: bool


@dataclass(frozen=True)
class Sample:
    """A question that a pipeline's folder brings as sample.json: path, and the body to post.

    body: sent as JSON; a text is sent as it is, of the content type that the sample must then name.
    headers: sent besides, like the API key that everybody knows.
    """

    path: str
    body: dict[str, Any] | str
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def question(self) -> str:
        """What a person reads: the longest text in it, or its beginning."""
        text = max(_texts(self.body), key=len, default="")
        line = " ".join(text.split())
        return line if len(line) <= 100 else line[:99] + "…"


@dataclass(frozen=True)
class FirstAnswer:
    """What the pipeline said to its sample."""

    sample: Sample
    body: Any
    milliseconds: float


def deploy(kube: "Kube", overlay: Path, image: str) -> Deployed:
    """Render an overlay, put the image in, apply it. Raises RayopsError where the API server refuses an object."""
    objects = render.set_image(render.render(overlay), IMAGE, image)
    if render.of_kind(objects, "RayJob"):
        where = overlay.relative_to(ROOT) if overlay.is_relative_to(ROOT) else overlay
        hint = f"rayops up --until 'pipeline image', then kubectl apply -k {where}"
        raise RayopsError(f"{where} is a job: it ends, and answers nobody", hint=hint)
    service = render.one(objects, "RayService")
    before = [kube.find(kind_of(obj), name_of(obj), dig(obj, "metadata", "namespace")) for obj in objects]
    after = kube.apply(objects)
    return Deployed(
        namespace=service["metadata"]["namespace"],
        name=service["metadata"]["name"],
        node_ports=render.node_ports(objects),
        changed=_specs(before) != _specs(after),
    )


def sample_of(pipeline: str) -> Sample:
    """The sample question of a pipeline. Raises RayopsError naming the file that is missing or wrong."""
    file = app_folder(pipeline, ROOT) / "sample.json"
    try:
        content = json.loads(file.read_text())
        path, headers = _checked(content["path"], str), _headers(content)
        if "content_type" in content:
            return Sample(path, _checked(content["body"], str), _checked(content["content_type"], str), headers)
        return Sample(path, _checked(content["body"], dict), headers=headers)
    except FileNotFoundError:
        raise RayopsError(f"{file.relative_to(ROOT)} is missing", hint=SAMPLE) from None
    except (ValueError, KeyError, TypeError) as error:
        raise RayopsError(f"{file.relative_to(ROOT)} is not a sample: {error}", hint=SAMPLE) from error


def _texts(value: Any) -> list[str]:
    """Every text in JSON, but names."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for each in inner for text in _texts(each)]


def _headers(content: dict[str, Any]) -> dict[str, str]:
    if "headers" not in content:
        return {}
    headers = _checked(content["headers"], dict)
    return {name: _checked(value, str) for name, value in headers.items()}


def _checked(value: Any, kind: type) -> Any:
    if not isinstance(value, kind) or not value:
        raise TypeError(f"expected a {kind.__name__} with something in it, found {value!r}")
    return value


def first_answer(pipeline: str, url: str) -> FirstAnswer:
    """Ask the sample question until it is answered: Ready is not healthy, the data path is the proof.

    Raises WaitError with the last answer.
    """
    sample = sample_of(pipeline)
    answer: Answer = eventually(
        lambda: probe(
            url + sample.path, sample.body, content_type=sample.content_type, headers=sample.headers, timeout_s=10
        ),
        lambda found: found,
        lambda found: found.ok,
        Timeout.SHORT,
        f"{url}{sample.path} answers",
    )
    return FirstAnswer(sample, answer.body, answer.ms)


def screen(answer: FirstAnswer, url: str, dashboard: str, kubeconfig: Path | None, stop: str) -> str:
    """What a newcomer sees at the end of `up`."""
    body = answer.body if isinstance(answer.body, dict) else {"answer": answer.body}
    sample = answer.sample
    lines = [f"question   {sample.question}"]
    if "answer" in body:
        lines.append(f"answer     {body['answer']}")
        lines += [f"source     {source_line(source)}" for source in body.get("sources", [])]
    else:
        lines.append(f"answer     {json.dumps(body)}")
    flag, to_send = ("--data-binary", sample.body) if isinstance(sample.body, str) else ("-d", json.dumps(sample.body))
    headers = {"content-type": sample.content_type, **sample.headers}
    given = " ".join(f"-H {shlex.quote(f'{name}: {value}')}" for name, value in headers.items())
    call = f"curl -s {url}{sample.path} {given} {flag} {shlex.quote(to_send)}"
    lines += ["", f"URL        {url}  (its API: {url}/docs)", f"ask        {call}", f"dashboard  {dashboard}"]
    if kubeconfig is not None:
        lines.append(f"kubectl    export KUBECONFIG={kubeconfig}")
    return "\n".join([*lines, f"stop       {stop}"])


def source_line(source: dict[str, Any]) -> str:
    """A source as `path:12-20 Section`."""
    place = source.get("document", source.get("path", "?"))
    span = source.get("lines")
    where = f":{span[0]}-{span[1]}" if isinstance(span, list) and len(span) == 2 else ""
    return f"{place}{where}  {source.get('section', '')}".rstrip()


def _specs(objects: "list[Obj | None] | list[Obj]") -> list[Any]:
    kept = [{k: v for k, v in (obj or {}).items() if k not in ("status", "metadata")} for obj in objects]
    named = [
        (dig(obj or {}, "kind"), name_of(obj or {"metadata": {"name": ""}}), spec)
        for obj, spec in zip(objects, kept, strict=True)
    ]
    return sorted(named, key=lambda entry: (str(entry[0]), entry[1]))
