"""The shape of the catalogue. Ids, aliases and places are checked against each other in rules.py and places.py."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

STAND_IN = "stand-in"
PACKAGE = "package:"
UNPINNED = "0"  # a digest of nothing else is not yet pinned, as in the images of the overlays

Id = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")]
Alias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,199}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Path = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][\w.-]*(/[A-Za-z0-9_][\w.-]*)*$")]
Address = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/{}]+/\S*\{path\}\S*$")]
Weight = Annotated[float, Field(ge=0, le=1)]


class Entry(BaseModel):
    """Every part of the catalogue: unknown fields are refused, `"14"` is no number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class File(Entry):
    """One file of a model, as the source names it."""

    path: Path = Field(description="a path in the model's repository, without .. and hidden names")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="64 hex digits; 64 zeros: not yet pinned")


class Route(Entry):
    """What clients may ask for, where, for how long, and who answers instead."""

    environments: list[Name] = Field(min_length=1, description="a list of folders of overlays")
    fallback: list[Id] = Field(default=[], description="a list of ids that are tried in order")
    timeout_s: float = Field(default=120, gt=0, le=600, description="seconds, to the end of an answer")
    first_byte_timeout_s: float = Field(default=10, gt=0, le=600, description="seconds, to its first byte")


class Model(Route):
    """A model in the environments that have it."""

    id: Id = Field(description="what clients ask for: lower case, digits, . _ -")
    kind: Literal["chat", "embeddings"] = Field(description="chat or embeddings")
    source: str = Field(
        pattern=rf"^({STAND_IN}|{PACKAGE}[\w.-]+==[\w.]+|[\w-][\w.-]*/[\w.-]+)$",
        description="owner/name of a repository of models, package:NAME==VERSION of the image, or stand-in",
    )
    revision: str | None = Field(
        default=None,
        pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$",
        description="an immutable digest, 40 or 64 hex digits; a branch or a tag moves",
    )
    licence: str = Field(min_length=1, description="an SPDX identifier, or LicenseRef-NAME where SPDX has none")
    size_gib: float = Field(ge=0, le=10_000, description="of the weights, in GiB; a number")
    files: list[File] = Field(default=[], description="what the model cache downloads: a list of {path, sha256}")
    download: Address | None = Field(default=None, description="in place of the head's `download`, with {path} in it")
    engine_args: dict[str, Any] = Field(default={}, description="arguments of the engine by name")
    adapter_of: Id | None = Field(default=None, description="the id of its base model, for a LoRA adapter")
    pipeline: Name = Field(description="the RayService that serves it: a folder of overlays/ENVIRONMENT")
    application: Name = Field(description="the application of its Serve config")
    group: Name | dict[Name, Name] = Field(description="the worker group, or one for each environment")
    aliases: list[Alias] = Field(default=[], description="a list of other names: letters, digits, . _ / -")

    @property
    def name(self) -> str:
        """What clients ask for."""
        return self.id

    def group_in(self, environment: str) -> str | None:
        """The worker group in an environment, None where the catalogue names none."""
        return self.group if isinstance(self.group, str) else self.group.get(environment)

    @property
    def groups(self) -> set[str]:
        """The worker groups, whatever the environment."""
        return {self.group} if isinstance(self.group, str) else set(self.group.values())

    @property
    def unpinned(self) -> list[str]:
        """What has a digest of zeros: `revision`, or paths of files."""
        found = ["revision"] if self.revision and not self.revision.strip(UNPINNED) else []
        return found + [file.path for file in self.files if not file.sha256.strip(UNPINNED)]


class Shadow(Entry):
    """Requests that another model gets too, whose answers nobody waits for."""

    model: Id = Field(description="the id of a model")
    share: float = Field(gt=0, le=1, description="the part of the requests, above 0 and up to 1")


class Split(Route):
    """One name that stands for several models."""

    alias: Id = Field(description="what clients ask for: lower case, digits, . _ -")
    weights: dict[Id, Weight] = Field(min_length=1, description="id: weight, together 1")
    shadow: Shadow | None = Field(default=None, description="{model, share}")

    @property
    def name(self) -> str:
        """What clients ask for."""
        return self.alias


class Variant(Entry):
    """What a serve.yaml gets that no overlay runs."""

    environment: Name = Field(description="the environment whose models it gets")
    models: list[Id] | None = Field(default=None, description="a list of ids: only these, with their adapters")


class Head(Entry):
    """What holds for all models."""

    download: Address = Field(description="http(s) address of a file, with {source}, {revision} and {path} in it")
    gpu_memory_gib: dict[Name, Annotated[float, Field(gt=0)]] = Field(description="GROUP: GiB of one of its GPUs")
    gpu_memory_utilization: float = Field(gt=0, le=1, description="the part that an engine takes, above 0 and up to 1")
    variants: dict[str, Variant] = Field(
        default={}, description="FILE: {environment, models} of a file no overlay runs"
    )


class Catalogue(Head):
    """apps/gateway/models.yaml."""

    models: list[Model] = Field(description="a list of models")
    splits: list[Split] = Field(default=[], description="a list of names that stand for several models")

    @property
    def entries(self) -> list[Model | Split]:
        """Models and splits, in the order of the catalogue."""
        return [*self.models, *self.splits]

    def model(self, name: str) -> Model | None:
        """The model with an id, None where there is none."""
        return next((each for each in self.models if each.id == name), None)

    def models_in(self, environment: str) -> list[Model]:
        """The models of an environment in the order of the catalogue."""
        return [each for each in self.models if environment in each.environments]

    def adapters_in(self, environment: str, base: str) -> list[Model]:
        """The adapters of a model that an environment has."""
        return [each for each in self.models_in(environment) if each.adapter_of == base]

    def splits_in(self, environment: str) -> list[Split]:
        """The splits of an environment in the order of the catalogue."""
        return [each for each in self.splits if environment in each.environments]
