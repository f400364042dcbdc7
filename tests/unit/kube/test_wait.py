import pytest

from rayops.kube import wait
from rayops.kube.errors import KubeError
from rayops.kube.wait import Timeout, WaitError, equals, eventually, is_so, itself


class Clock:
    """A clock that only sleeping moves."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(wait, "time", clock)
    return clock


def test_it_returns_the_selected_value_for_which_the_predicate_held(clock: Clock) -> None:
    phases = iter(["Pending", "Pending", "Running"])
    found = eventually(
        lambda: {"phase": next(phases)}, lambda pod: pod["phase"], equals("Running"), Timeout.SHORT, "a pod"
    )
    assert found == "Running"
    assert clock.now == 2


def test_a_late_value_fails_and_says_what_for_how_long_and_what_was_seen(clock: Clock) -> None:
    with pytest.raises(WaitError) as caught:
        eventually(lambda: "Pending", itself, equals("Running"), Timeout.SHORT, "pod web runs", every=7)
    assert caught.value.message == "waited 56 s for: pod web runs; last seen: 'Pending'"
    assert (caught.value.what, caught.value.last) == ("pod web runs", "Pending")
    assert clock.now <= Timeout.SHORT.value


def test_an_api_error_is_not_yet_and_is_what_was_last_seen() -> None:
    def broken() -> str:
        raise KubeError("the server does not answer")

    with pytest.raises(WaitError, match="last seen: the server does not answer"):
        eventually(broken, itself, is_so, Timeout.SHORT, "x")


def test_any_other_error_is_not_swallowed() -> None:
    with pytest.raises(ZeroDivisionError):
        eventually(lambda: 1 / 0, itself, is_so, Timeout.SHORT, "x")


def test_a_hopeless_value_ends_the_wait_at_once(clock: Clock) -> None:
    with pytest.raises(WaitError, match=r"waited 0 s for: x \(it is broken\); last seen: 0"):
        eventually(lambda: 0, itself, is_so, Timeout.LONG, "x", give_up=lambda _: "it is broken")
    assert clock.now == 0


def test_what_was_seen_is_cut() -> None:
    with pytest.raises(WaitError) as caught:
        eventually(lambda: "x" * 5000, itself, equals(""), Timeout.SHORT, "short")
    assert len(caught.value.message) < 700


def test_any_truthy_value_is_so() -> None:
    looks: list[object] = [None, "", 0, "here"]
    assert eventually(lambda: looks.pop(0), itself, is_so, Timeout.SHORT, "x") == "here"
