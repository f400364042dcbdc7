"""What every replica shares."""

import pytest
from pydantic import ValidationError

from apps.common.retrieval.replicas import EmbeddingReplica
from apps.common.retrieval.settings import RetrieverSettings
from apps.common.serving import IngressReplica, Reconfigurable, Replica
from apps.common.settings import Arguments


class Live(Arguments):
    size: int = 1


class Configurable(Replica):
    live = Live
    size = 0

    def configure(self, settings: Live) -> None:
        self.size = settings.size


def test_live_settings_are_checked_before_they_are_taken() -> None:
    replica = Configurable()
    replica.reconfigure({"size": 3})
    assert replica.size == 3
    with pytest.raises(ValidationError, match="sise"):
        replica.reconfigure({"sise": 4})
    assert replica.size == 3


def test_every_object_has_a_queue_of_batches_of_its_own() -> None:
    """Serve's queue is bound to one event loop; two pipelines in one process have two."""
    one, other = EmbeddingReplica(), EmbeddingReplica()
    assert one.embed is one.embed
    assert one.embed is not other.embed
    one.configure(RetrieverSettings(batch_blocks=5))
    other.configure(RetrieverSettings(batch_blocks=7))
    assert (one.embed._get_max_batch_size(), other.embed._get_max_batch_size()) == (5, 7)


def test_a_replica_without_live_settings_says_so() -> None:
    with pytest.raises(TypeError, match="Replica takes no user_config"):
        Replica().reconfigure({})
    with pytest.raises(NotImplementedError):
        Reconfigurable().configure(None)
    with pytest.raises(NotImplementedError):
        IngressReplica().asgi(echo_request_id=True)
