"""apps/<package>/simulation.yaml: what serve.yaml does not know of a pipeline, each number with where it comes from."""

from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError, model_validator

from rayops.errors import RayopsError

FILE = "simulation.yaml"


class Strict(BaseModel):
    """A misspelt field is an error, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Sourced(Strict):
    """A number says whether somebody measured it, and where, or why it was assumed."""

    measured: str | None = Field(default=None, min_length=10)
    assumed: str | None = Field(default=None, min_length=10)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.measured is None) == (self.assumed is None):
            raise ValueError("say either `measured: where` or `assumed: why`")
        return self


class Value(Sourced):
    """One number. The unit stands in the name of the field that holds it."""

    value: PositiveFloat


class Duration(Sourced):
    """Seconds of work of one call, alone on its replica. cv: standard deviation / mean, 0 for a constant."""

    mean: PositiveFloat
    cv: float = Field(default=1.0, ge=0, le=5)


class Pages(Sourced):
    """Pages of a document: geometric from 1 with this mean, cut off at `most`."""

    mean: float = Field(ge=1)
    most: PositiveInt = 100


class Stage(Strict):
    """One deployment. per: what one call works on. concurrency: calls that one replica works on at once.

    shared_speed: total speed of a replica that works on several calls at once (1: they share the speed of one).
    at_once: calls of one document in flight, a number or a setting of the ingress (user_config); none: no limit.
    start_s: from the decision to a ready replica.
    """

    service_s: Duration
    per: Literal["document", "page"] = "document"
    concurrency: PositiveInt = 1
    shared_speed: Value | None = None
    at_once: PositiveInt | str | None = None
    start_s: Value | None = None


class Parallel(Strict):
    """Branches that run side by side; a branch is a deployment or several in a row."""

    parallel: list[str | list[str]] = Field(min_length=2)


class Gpu(Strict):
    """shared_speed: total speed of a GPU on which several replicas work at once.

    1: time slices that cost nothing; 0.9: sharing costs a tenth; 1.5: kernels that leave room for each other overlap.
    """

    shared_speed: Value
    worker_start_s: Value


class Layout(Strict):
    """Replicas by deployment with a whole GPU for each (dedicated) and with shares (fractional).

    gpus: GPUs of a replica where they are not those of serve.yaml. autoscaled: autoscaling_config in place of the
    fractional replicas, with a GPU worker for each GPU. worker_gpus: GPUs of a worker; none: one worker with all.
    """

    about: str = Field(min_length=10)
    dedicated: dict[str, PositiveInt]
    fractional: dict[str, PositiveInt]
    gpus: dict[str, PositiveFloat] = {}
    worker_gpus: PositiveInt | None = None
    autoscaled: dict[str, dict[str, float]] = {}


class Mix(Strict):
    """Assumptions of the study in place of those of `stages` and `gpu`. mean: seconds of a call by deployment.

    cv: of all; shared_speed: of a shared GPU; stage_speed: total speed of a replica with several calls at once;
    sees_gpu: a router that Serve does not have, which sends a call to the replica whose GPU has the fewest jobs.
    """

    about: str = Field(min_length=10)
    layout: str
    mean: dict[str, PositiveFloat] = {}
    cv: float | None = Field(default=None, ge=0, le=5)
    shared_speed: PositiveFloat | None = None
    stage_speed: dict[str, PositiveFloat] = {}
    sees_gpu: bool = False


class ClaimSpec(Strict):
    """The study of the claim. mixes: the sets of assumptions by name; the first is that of the main table."""

    layouts: dict[str, Layout] = Field(min_length=1)
    mixes: dict[str, Mix] = Field(min_length=1)

    @model_validator(mode="after")
    def _layouts(self) -> Self:
        for name, mix in self.mixes.items():
            if mix.layout not in self.layouts:
                raise ValueError(f"mixes.{name}.layout: no layout {mix.layout}, there are {', '.join(self.layouts)}")
        return self


class Spec(Strict):
    """The whole file."""

    flow: Annotated[list[str | Parallel], Field(min_length=1)]
    pages: Pages
    documents_per_s: Value
    gpu: Gpu
    stages: dict[str, Stage]
    claim: ClaimSpec | None = None

    @model_validator(mode="after")
    def _names(self) -> Self:
        used = [name for step in branches(self) for branch in step for name in branch]
        for name in used:
            if name not in self.stages:
                raise ValueError(f"flow names {name}, which stages has not")
            if used.count(name) > 1:
                raise ValueError(f"flow names {name} twice")
        for name in self.stages:
            if name not in used:
                raise ValueError(f"stages.{name} is in no step of flow")
        return self


def branches(spec: Spec) -> tuple[tuple[tuple[str, ...], ...], ...]:
    """The flow as steps of branches of deployments: A, then B beside C: (((A,),), ((B,), (C,)))."""
    return tuple(
        (
            ((step,),)
            if isinstance(step, str)
            else tuple((each,) if isinstance(each, str) else tuple(each) for each in step.parallel)
        )
        for step in spec.flow
    )


def read_spec(folder: Path) -> Spec:
    """The file of a pipeline's folder. RayopsError with file and field where it is missing or wrong."""
    file = folder / FILE
    try:
        loaded = yaml.safe_load(file.read_text())
    except FileNotFoundError as error:
        hint = "write it: flow, pages, documents_per_s, gpu, stages (apps/document_intelligence has one)"
        raise RayopsError(
            f"{file} is missing: serve.yaml does not say which deployment calls which", hint=hint
        ) from error
    except yaml.YAMLError as error:
        raise RayopsError(f"{file} is not YAML: {error}") from error
    try:
        return Spec.model_validate(loaded)
    except ValidationError as error:
        raise RayopsError(faults(file, error), hint=f"mend the field in {file.name}") from error


def faults(file: Path, error: ValidationError) -> str:
    """A validation error in one line: file, then each field with what is wrong."""
    parts = [f"{'.'.join(map(str, each['loc'])) or 'file'}: {each['msg']}" for each in error.errors()]
    return f"{file}: {'; '.join(parts)}"
