"""What the endpoint does, whatever the protocol in front of it and whatever runs the steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from apps.common.calls import call, readiness
from apps.common.deadline import Deadline
from apps.common.errors import PipelineError
from apps.embeddings.settings import IngressSettings
from apps.embeddings.zero_shot import Label

if TYPE_CHECKING:
    from apps.embeddings.encoder import Embedded, Texts


class Steps(Protocol):
    """What the service is made of. Every step may raise PipelineError."""

    async def embed(self, model: str, inputs: "Texts", dimensions: int | None) -> "Embedded":
        """Embed texts or token ids."""

    async def classify(
        self, texts: Sequence[str], labels: Sequence[Label], multi_label: bool, temperature: float | None
    ) -> list[list[float]]:
        """Return the probability of each label for each text."""

    async def ready(self, timeout_s: float) -> dict[str, str]:
        """Return "ok", or what is wrong, for each part."""


@dataclass(frozen=True, slots=True)
class HandleSteps:
    """Steps as deployments of one Serve application; each field is a DeploymentHandle."""

    embedder: Any
    classifier: Any

    async def embed(self, model: str, inputs: "Texts", dimensions: int | None) -> "Embedded":
        """Ask the Embedder."""
        found: Embedded = await call(self.embedder.embed.remote, model, inputs, dimensions)
        return found

    async def classify(
        self, texts: Sequence[str], labels: Sequence[Label], multi_label: bool, temperature: float | None
    ) -> list[list[float]]:
        """Ask the AutoscaledClassifier; the first request after a pause waits for its replica."""
        found: list[list[float]] = await call(self.classifier.classify.remote, texts, labels, multi_label, temperature)
        return found

    async def ready(self, timeout_s: float) -> dict[str, str]:
        """Ask the Embedder. Not the AutoscaledClassifier: at rest there is none, and the question would start one."""
        return await readiness({"embedder": self.embedder}, timeout_s)


class Service:
    """Embeddings and classes within a deadline.

    Args:
        steps: what does the work.
        names: the model that each name and alias means.
        classifier_model: the one that classes come from.
    """

    def __init__(self, steps: Steps, names: dict[str, str], classifier_model: str):
        self._steps = steps
        self.classifier_model = classifier_model
        self._names = names
        self.models = sorted(set(names.values()))
        self.settings = IngressSettings()

    def model(self, name: str) -> str:
        """Return the model that `name` means.

        Raises:
            PipelineError: 404, there is none.
        """
        if name not in self._names:
            raise PipelineError(
                404, "model_not_found", f"there is no model {name!r}; known: {', '.join(self.models)}", "model"
            )
        return self._names[name]

    async def embed(self, model: str, inputs: "Texts", dimensions: int | None, deadline: Deadline) -> "Embedded":
        """Embed texts or token ids.

        Raises:
            PipelineError: 404, no such model; 422, a token id or the dimensions do not fit it.
            TimeoutError: the deadline passed.
        """
        name = self.model(model)
        async with deadline.scope():
            return await self._steps.embed(name, inputs, dimensions)

    async def classify(
        self,
        texts: Sequence[str],
        labels: Sequence[Label],
        multi_label: bool,
        temperature: float | None,
        deadline: Deadline,
    ) -> list[list[float]]:
        """Return the probability of each label for each text.

        Raises:
            TimeoutError: the deadline passed.
        """
        async with deadline.scope():
            return await self._steps.classify(texts, labels, multi_label, temperature)

    async def ready(self, timeout_s: float) -> dict[str, str]:
        """Return "ok", or what is wrong, for each part."""
        return await self._steps.ready(timeout_s)
