"""The deployments. Each replica imports what it needs when it starts, so that every process stays small."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp

from apps.common.calls import call
from apps.common.serving import IngressReplica, Replica, deployment, late_ingress
from apps.common.settings import LimitArgs
from apps.embeddings.rpc import EmbeddingRpc
from apps.embeddings.service import HandleSteps, Service
from apps.embeddings.settings import ClassifierSettings, EmbedderSettings, EncoderArgs, IngressSettings
from apps.embeddings.zero_shot import Label

if TYPE_CHECKING:
    from apps.embeddings.encoder import Embedded, Texts


class EmbedderReplica(Replica):
    """Every model of the endpoint, each with its own queue of batches. All are loaded when the replica starts."""

    live = EmbedderSettings

    def __init__(self, args: EncoderArgs, models: dict[str, Path]):
        from apps.common.gate import ProxyGate

        with ProxyGate.around_loading():
            from apps.embeddings.encoder import BatchedEncoder, Encoder

            self._models = {
                name: BatchedEncoder(Encoder(folder, args.threads, args.max_tokens, args.device), args)
                for name, folder in models.items()
            }

    def configure(self, settings: EmbedderSettings) -> None:
        """Take live settings."""
        for model in self._models.values():
            model.configure(settings)

    async def embed(self, model: str, inputs: "Texts", dimensions: int | None = None) -> "Embedded":
        """Embed texts or lists of token ids with the model of that name.

        Raises:
            PipelineError: 422, see BatchedEncoder.embed.
        """
        return await self._models[model].embed(inputs, dimensions)


class AutoscaledClassifierReplica(Replica):
    """Zero-shot classes; holds no model, so that it is up a moment after the first request, and asks the Embedder."""

    live = ClassifierSettings

    def __init__(self, model: str, embedder: Any):
        self._model = model
        self._embedder = embedder
        self._settings = ClassifierSettings()

    def configure(self, settings: ClassifierSettings) -> None:
        """Take live settings."""
        self._settings = settings

    async def classify(
        self, texts: Sequence[str], labels: Sequence[Label], multi_label: bool, temperature: float | None
    ) -> list[list[float]]:
        """Return the probability of each label for each text."""
        from apps.embeddings.zero_shot import probabilities

        embedded = await call(self._embedder.embed.remote, self._model, [*texts, *(label.text for label in labels)])
        found: list[list[float]] = probabilities(
            embedded.vectors[: len(texts)],
            embedded.vectors[len(texts) :],
            multi_label=multi_label,
            temperature=temperature or self._settings.temperature,
            threshold=self._settings.threshold,
        ).tolist()
        return found


class EmbeddingsIngress(EmbeddingRpc, IngressReplica):
    """HTTP and gRPC in front of the models; without Serve's wrapping, so that it can be used with any steps."""

    live = IngressSettings

    def __init__(self, limits: LimitArgs, names: dict[str, str], classifier_model: str, embedder: Any, classifier: Any):
        self.limits = limits
        self.service = Service(HandleSteps(embedder, classifier), names, classifier_model)

    def configure(self, settings: IngressSettings) -> None:
        """Take live settings."""
        self.service.settings = settings

    def asgi(self, *, echo_request_id: bool) -> ASGIApp:
        """Return the ASGI application of this replica."""
        from apps.embeddings.ingress import build_asgi

        return build_asgi(self.service, self.limits, echo_request_id)


Embedder = deployment(name="Embedder")(EmbedderReplica)
AutoscaledClassifier = deployment(name="AutoscaledClassifier")(AutoscaledClassifierReplica)
Ingress = deployment(name="Ingress")(late_ingress(EmbeddingsIngress))
