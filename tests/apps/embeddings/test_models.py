"""int8 beside fp32, batches over requests, and the pace that a target latency sets."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from ray.serve import context
from ray.serve._private.common import DeploymentID, ReplicaID
from ray.serve.schema import ReplicaRank

from apps.common import onnx_int8
from apps.common.errors import PipelineError
from apps.common.onnx_text import Embedder
from apps.common.prepare import prepare_int8
from apps.common.settings import LimitArgs
from apps.embeddings import check
from apps.embeddings.deployments import AutoscaledClassifierReplica, EmbedderReplica, EmbeddingsIngress
from apps.embeddings.encoder import BatchedEncoder, Embedded, Encoder, shortened
from apps.embeddings.pace import LEAST_BLOCKS, Limits, Pace, blocks
from apps.embeddings.settings import FP32, INT8, EmbedderSettings, EmbeddingsArgs, EncoderArgs
from apps.embeddings.zero_shot import Label, probabilities

SENTENCES = (Path(__file__).parents[1] / "data/sentences.txt").read_text().splitlines()


@pytest.fixture(scope="session")
def encoder(model: Path) -> Encoder:
    return Encoder(model)


@pytest.fixture(autouse=True)
def _replica() -> None:
    """@serve.batch asks for its limit where a replica would be (tests/apps/serving.py)."""
    context._set_internal_replica_context(
        replica_id=ReplicaID("local", DeploymentID("Local", "x")),
        servable_object=None,
        _deployment_config=SimpleNamespace(max_ongoing_requests=64),
        rank=ReplicaRank(rank=0, node_rank=0, local_rank=0),
        world_size=1,
    )


def test_int8_is_near_fp32_and_smaller(model: Path, embedder: Embedder) -> None:
    assert len(SENTENCES) == 100
    int8 = Embedder(model.parent / INT8)
    cosines = (embedder.embed(SENTENCES) * int8.embed(SENTENCES)).sum(axis=1)
    assert cosines.mean() >= 0.97
    assert cosines.min() >= 0.9
    assert int8.digest != embedder.digest, "their vectors must not be mixed in one index"
    sizes = [(folder / "model.onnx").stat().st_size for folder in (model.parent / INT8, model)]
    assert sizes[0] < 0.5 * sizes[1]


def test_int8_orders_neighbours_as_fp32_does(model: Path, embedder: Embedder) -> None:
    both = []
    for each in (embedder, Embedder(model.parent / INT8)):
        vectors = each.embed(SENTENCES)
        similar = vectors @ vectors.T
        np.fill_diagonal(similar, -1)
        both.append(similar.argmax(axis=1))
    assert (both[0] == both[1]).mean() >= 0.8


def test_quantising_needs_an_exported_model_and_is_done_once(tmp_path: Path, model: Path) -> None:
    with pytest.raises(FileNotFoundError):
        onnx_int8.quantise(tmp_path, tmp_path / "out")
    stamp = model.parent / INT8 / ".prepared"
    before = stamp.stat().st_mtime_ns
    assert prepare_int8(model.parent) == model.parent / INT8
    assert stamp.stat().st_mtime_ns == before


def test_the_check_of_the_image(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_MODELS", str(model.parent))
    found = asyncio.run(check.check())
    assert set(found) == {FP32, INT8}
    monkeypatch.setattr(check, "_LABELS", ["cooking", "sports"])
    with pytest.raises(AssertionError, match="takes"):
        asyncio.run(check.check())


def test_token_ids_are_framed_cut_and_checked(encoder: Encoder) -> None:
    (ids,) = encoder.ids([SENTENCES[0]])
    assert encoder.ids([ids, ids[1:], ids[:-1], ids[1:-1]]) == [ids] * 4
    assert encoder.ids([[101]]) == [[101, 102]]
    assert encoder.ids([[101, 102]]) == [[101, 102]]
    (cut,) = encoder.ids([[1037] * 400])
    assert (len(cut), cut[0], cut[-1]) == (256, 101, 102)
    for bad in (-1, 30522):
        with pytest.raises(PipelineError, match=f"item 1: {bad} is no token id"):
            encoder.ids([[5], [bad]])


def test_requests_share_batches_that_run_at_once(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight texts of one block each, batches of four: two batches, both running before either ends."""
    sizes: list[int] = []
    both = asyncio.Event()
    real = asyncio.to_thread

    async def watched(function: Any, *arguments: Any) -> Any:
        if function == encoder.run:
            sizes.append(blocks(arguments[0]))
            if len(sizes) == 2:
                both.set()
            await asyncio.wait_for(both.wait(), 10)
        return await real(function, *arguments)

    async def run() -> list[Any]:
        monkeypatch.setattr(asyncio, "to_thread", watched)
        batched = BatchedEncoder(encoder, EncoderArgs(batches_in_flight=2))
        batched.configure(EmbedderSettings(batch_blocks=4, batch_wait_ms=500, target_p95_ms=60_000))
        text = " ".join(["cat"] * 126)  # with [CLS] and [SEP] one block
        return [*await asyncio.gather(*(batched.embed([text] * 4, None) for _ in range(2)))]

    first, second = asyncio.run(run())
    assert sizes == [4, 4]
    np.testing.assert_allclose(first.vectors, second.vectors, atol=1e-6)
    assert first.tokens == 4 * 128


def test_one_batch_in_flight_is_one_after_the_other(encoder: Encoder) -> None:
    batched: Any = BatchedEncoder(encoder, EncoderArgs(batches_in_flight=1))

    async def run() -> int:
        await batched.embed(["warm"], None)
        queue = batched._queue.set_max_batch_size.__self__.queue
        return int(queue.max_concurrent_batches)

    assert asyncio.run(run()) == 1


def test_a_batch_is_measured_in_padded_blocks() -> None:
    assert blocks([[1] * 10]) == 1
    assert blocks([[1] * 10, [1] * 200]) == 4
    assert blocks([[1] * 16] * 64) == 8
    assert blocks([[1] * 512]) == LEAST_BLOCKS


@pytest.mark.parametrize(
    ("block_ms", "wanted"),
    [
        (None, Limits(32, 5)),  # nothing measured
        (2, Limits(32, 5)),  # 2 * 32 * 2 = 128 ms: the target leaves all of the wait
        (6.2, Limits(31, 5)),  # 32 blocks would take 396.8 of 395 ms: smaller batches
        (20, Limits(9, 5)),  # 395 / 40
        (49.5, Limits(4, 4)),  # the smallest batch; 400 - 396 are left to wait
        (80, Limits(4, 0)),  # too slow for the target: no wait at all
    ],
)
def test_size_and_wait_follow_from_the_target(block_ms: float | None, wanted: Limits) -> None:
    pace = Pace(EmbedderSettings(target_p95_ms=400, batch_wait_ms=5, batch_blocks=32))
    if block_ms is not None:
        pace.took(4, 4 * block_ms)
    assert pace.limits() == wanted


def test_the_pace_follows_the_slow_batches_of_the_last_ones() -> None:
    pace = Pace()
    for _ in range(64):
        pace.took(1, 100)
    for _ in range(64):
        pace.took(1, 1)
    assert pace.limits().blocks == 32, "the old ones are forgotten"
    for _ in range(6):
        pace.took(1, 100)
    assert pace.limits().blocks == LEAST_BLOCKS, "one in twenty is slow: that is the 95th percentile"


def test_the_limits_reach_the_queue(encoder: Encoder) -> None:
    batched: Any = BatchedEncoder(encoder, EncoderArgs())
    batched.configure(EmbedderSettings(batch_blocks=16, batch_wait_ms=7, target_p95_ms=60_000))
    assert (batched._queue._get_max_batch_size(), batched._queue._get_batch_wait_timeout_s()) == (16, 0.007)
    batched.configure(EmbedderSettings(target_p95_ms=0.001))
    asyncio.run(batched.embed([SENTENCES[0]], None))
    assert (batched._queue._get_max_batch_size(), batched._queue._get_batch_wait_timeout_s()) == (LEAST_BLOCKS, 0)


def test_a_vector_of_zeros_stays_one() -> None:
    cut = shortened(np.array([[0, 0, 1], [3, 4, 0]], np.float32), 2)
    np.testing.assert_allclose(cut, np.array([[0, 0], [0.6, 0.8]]), rtol=1e-6)


def test_names_must_be_clear() -> None:
    one, two = {"name": "a", "folder": "x"}, {"name": "b", "folder": "y", "aliases": ("a",)}
    with pytest.raises(ValidationError, match="a names more than one model"):
        EmbeddingsArgs.model_validate({"serve_models": (one, two), "classifier": {"model": "b"}})
    with pytest.raises(ValidationError, match="'all-minilm-l6-v2' is not in serve_models"):
        EmbeddingsArgs.model_validate({"serve_models": (one,)})
    args = EmbeddingsArgs.model_validate({"serve_models": (two,), "classifier": {"model": "a"}})
    assert args.names() == {"a": "b", "b": "b"}


def test_probabilities_of_one_label_and_of_many() -> None:
    texts, labels = np.array([[1, 0]], np.float32), np.array([[1, 0], [0.6, 0.8]], np.float32)
    one = probabilities(texts, labels, multi_label=False, temperature=0.1, threshold=0)
    np.testing.assert_allclose(one, [[1 / (1 + np.exp(-4)), 1 / (1 + np.exp(4))]], rtol=1e-5)
    many = probabilities(texts, labels, multi_label=True, temperature=0.1, threshold=0.6)
    np.testing.assert_allclose(many, [[1 / (1 + np.exp(-4)), 0.5]], rtol=1e-5)
    with np.errstate(all="raise", under="ignore"):
        for multi_label in (False, True):
            surest = probabilities(texts, labels, multi_label=multi_label, temperature=0.001, threshold=0.8)
            np.testing.assert_allclose(surest, [[1, 0]], atol=1e-12)


class FixedEmbedder:
    """A handle that gives three vectors: one text, two labels."""

    def __getattr__(self, name: str) -> Any:
        return self

    async def remote(self, *_: Any) -> Embedded:
        return Embedded(np.array([[1, 0], [1, 0], [0.6, 0.8]], np.float32), 9)


def test_replicas_take_their_live_settings(model: Path) -> None:
    replica = AutoscaledClassifierReplica(FP32, FixedEmbedder())
    labels = [Label("a"), Label("b")]
    asked = [["x"], labels, False, None]
    (plain,) = asyncio.run(replica.classify(*asked))  # type: ignore[arg-type]
    replica.reconfigure({"temperature": 10})
    (even,) = asyncio.run(replica.classify(*asked))  # type: ignore[arg-type]
    assert plain[0] > even[0] > 0.5
    embedder = EmbedderReplica(EncoderArgs(), {FP32: model})
    embedder.reconfigure({"batch_blocks": 8})
    assert embedder._models[FP32]._queue._get_max_batch_size() == 8
    ingress = EmbeddingsIngress(LimitArgs(), {}, FP32, None, None)
    ingress.reconfigure({"revision": "7"})
    assert ingress.service.settings.revision == "7"
    with pytest.raises(ValidationError, match="Extra inputs"):
        embedder.reconfigure({"wait": 1})
