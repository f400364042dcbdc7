"""Ask KubeRay: one process for many objects, answers kept by the content of object, program and operator's settings."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rayops import proc
from rayops.errors import RayopsError
from rayops.kuberay import program
from rayops.kuberay.operator import Operator, operator_of
from rayops.paths import CACHE, content_hash
from rayops.render.objects import Obj

KINDS = ("RayService", "RayCluster", "RayJob")
CACHED = CACHE / "kuberay" / "answers"
# Each is some ten kilobytes: the overlays of a repository many times over.
MOST_CACHED = 4000
TIMEOUT = 120.0
RECREATE_HASH = "ray.io/upgrade-strategy-recreate-hash"


def is_ray(obj: Obj) -> bool:
    """Whether an object is one that can be asked about."""
    return obj.get("kind") in KINDS and str(obj.get("apiVersion", "")).startswith("ray.io/")


@dataclass(frozen=True)
class Answer:
    """What the operator does with one object.

    problems: () where it is taken, else who refuses it first, in their own words: the API server by the CRD (required
    fields, values, CEL rules), and only after it KubeRay's controllers, one of each of their functions at most (they
    stop at their first). admitted: False where it is the API server.
    hash: GenerateHashWithoutReplicasAndWorkersToDelete of the cluster's spec, "" for a RayJob that selects a cluster.
    prefix_hashes: those of the spec with only its first 0..n groups, [n] == hash.
    pods: those that the operator creates, head first, then one replica of each group; none where the object is refused
    or managed by another controller. Random ends of names are `xxxxx` (children) or left away (pods), UIDs are zeros.
    """

    problems: tuple[str, ...]
    hash: str
    prefix_hashes: tuple[str, ...]
    pods: tuple[Obj, ...]
    admitted: bool = True

    @property
    def built(self) -> tuple[Obj, ...]:
        """The pods without the hash that KubeRay notes at the head: equal where two specs build the same pods."""
        return tuple(_without_hash(pod) for pod in self.pods)


def _without_hash(pod: Obj) -> Obj:
    notes = (pod.get("metadata") or {}).get("annotations") or {}
    return {
        **pod,
        "metadata": {**pod["metadata"], "annotations": {k: v for k, v in notes.items() if k != RECREATE_HASH}},
    }


def ask(objects: Sequence[Obj], *, operator: Operator | None = None) -> list[Answer]:
    """The answers for RayServices, RayClusters and RayJobs, in their order.

    operator: its settings, by default those of this repository's chart. Raises RayopsError for the first object that
    the API server cannot take for one of these kinds: another kind, an unknown field or a value of a wrong type.
    """
    answers = []
    for answer in ask_each(objects, operator=operator):
        if isinstance(answer, RayopsError):
            raise answer
        answers.append(answer)
    return answers


def ask_each(objects: Sequence[Obj], *, operator: Operator | None = None) -> list[Answer | RayopsError]:
    """As `ask`, but with the error in the place of an answer where an object cannot be decoded."""
    if not objects:
        return []
    settings = operator or operator_of()
    salt = f"{program.identity()} {settings.key()}"
    written = [_written(obj) for obj in objects]
    files = [CACHED / f"{content_hash(salt, text)}.json" for text in written if isinstance(text, str)]
    known = {file: answer for file in set(files) if (answer := _read(file)) is not None}
    texts = (text for text in written if isinstance(text, str))
    if missing := {file: text for file, text in zip(files, texts, strict=True) if file not in known}:
        for file, answer in zip(missing, _process(list(missing.values()), settings), strict=True):
            _keep(file, answer)
            known[file] = answer
        _forget()
    each = iter(files)
    return [
        text if isinstance(text, RayopsError) else _answer(known[next(each)], obj)
        for text, obj in zip(written, objects, strict=True)
    ]


def _written(obj: Obj) -> str | RayopsError:
    """An object as JSON, the same for the same content. Dates that YAML made of text are text again.

    Where it names no namespace, it has the one that kubectl gives it: the address of the head is made of it.
    """
    metadata = obj.get("metadata")
    if isinstance(metadata, dict) and not metadata.get("namespace"):
        obj = {**obj, "metadata": {**metadata, "namespace": "default"}}
    try:
        return json.dumps(obj, sort_keys=True, default=str, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        return RayopsError(f"{_name(obj)} cannot be written as JSON: {error}")


def _process(objects: list[str], operator: Operator) -> list[dict[str, Any]]:
    """The program's answers. objects: JSON, put into the question as they are."""
    environment, gates = json.dumps(operator.environment), json.dumps(operator.gates)
    question = f'{{"environment": {environment}, "gates": {gates}, "objects": [{", ".join(objects)}]}}'
    output = proc.run([program.program(), program.schemas()], stdin=question, timeout=TIMEOUT)
    answers: list[dict[str, Any]] = json.loads(output)
    return answers


def _answer(given: dict[str, Any], obj: Obj) -> Answer | RayopsError:
    if given["error"]:
        return RayopsError(f"{_name(obj)}: {given['error']}")
    return Answer(
        problems=tuple(given["refused"] or given["problems"]),
        hash=given["hash"],
        prefix_hashes=tuple(given["prefix_hashes"]),
        pods=tuple(given["pods"]),
        admitted=not given["refused"],
    )


def _name(obj: Obj) -> str:
    """`RayService rag/rag`, as far as the object has such fields: it may be anything here."""
    metadata = obj.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    names = "/".join(str(metadata[key]) for key in ("namespace", "name") if metadata.get(key))
    return f"{obj.get('kind', '?')} {names or '?'}"


def _read(file: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):  # none, or damaged
        return None
    return found if isinstance(found, dict) else None


def _forget() -> None:
    """Delete the older half of the answers when there are too many; another process may do the same."""
    files = list(CACHED.iterdir())
    if len(files) > MOST_CACHED:
        age = {file: file.stat().st_mtime for file in files if file.exists()}
        for file in sorted(age, key=age.__getitem__)[: len(age) // 2]:
            file.unlink(missing_ok=True)


def _keep(file: Path, answer: dict[str, Any]) -> None:
    import tempfile

    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False, encoding="utf-8") as unfinished:
        json.dump(answer, unfinished)
    Path(unfinished.name).replace(file)
