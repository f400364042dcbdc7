"""Keys from a file that changes, and what each may use in a minute; a Limiter that is not there stops nobody."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from apps.common.errors import PipelineError
from apps.gateway.deployments import LimiterReplica
from apps.gateway.files import Watched
from apps.gateway.keys import Keys, parse_keys
from apps.gateway.rates import Rates
from apps.gateway.settings import GatewayArgs
from tests.apps.gateway.backend import (
    KEY,
    MESSAGES,
    METERED,
    Backend,
    Running,
    digest,
    eventually,
    keys_text,
    replace,
    route,
    start,
    target,
)

BODY = {"model": "one", "messages": MESSAGES}


def post(running: Running, key: str, body: Any = BODY) -> httpx.Response:
    headers = {"authorization": f"Bearer {key}"}
    return httpx.post(f"{running.url}/v1/chat/completions", json=body, headers=headers, timeout=20)


def test_a_key_gets_its_tokens_of_a_minute_and_is_told(running: Running) -> None:
    first = post(running, METERED)
    assert first.headers["x-ratelimit-limit-requests"] == "3"
    assert first.headers["x-ratelimit-remaining-requests"] == "2"
    assert first.headers["x-ratelimit-limit-tokens"] == "15"
    assert first.headers["x-ratelimit-remaining-tokens"] == "15", "booked after the answer"
    eventually(lambda: running.counted.of("gateway_tokens_in"))
    time.sleep(0.1)
    second = post(running, METERED)
    assert (second.status_code, second.headers["x-ratelimit-remaining-tokens"]) == (200, "5")
    time.sleep(0.1)
    third = post(running, METERED)
    error = third.json()["error"]
    assert (third.status_code, error["code"], error["type"]) == (429, "rate_limit_exceeded", "rate_limit_error")
    assert error["message"] == "over the limit of 15 tokens a minute"
    assert 1 <= int(third.headers["retry-after"]) <= 60
    assert third.headers["x-ratelimit-remaining-tokens"] == "0"
    assert running.counted.of("gateway_refused") == {"key=metered reason=tokens": 1}
    assert "x-ratelimit-limit-requests" not in post(running, KEY).headers, "no limit, nothing to say"


def test_requests_of_a_minute_as_the_official_client_sees_them(running: Running, keys_file: Path, one: Backend) -> None:
    replace(keys_file, keys_text({"name": "metered", "sha256": digest(METERED), "requests_per_minute": 3}))
    time.sleep(1.1)
    with openai.OpenAI(base_url=f"{running.url}/v1", api_key=METERED, max_retries=0) as client:
        for _ in range(3):
            client.chat.completions.create(model="one", messages=MESSAGES)
        with pytest.raises(openai.RateLimitError) as over:
            client.chat.completions.create(model="one", messages=MESSAGES)
    assert over.value.code == "rate_limit_exceeded"
    assert int(over.value.response.headers["retry-after"]) >= 1
    assert over.value.response.headers["x-ratelimit-remaining-requests"] == "0"
    assert len(one.seen) == 3, "a refused request costs no backend anything"


def test_a_request_for_no_model_counts_for_nothing(running: Running) -> None:
    for _ in range(5):
        assert post(running, METERED, {**BODY, "model": "none"}).status_code == 404
    assert post(running, METERED).headers["x-ratelimit-remaining-requests"] == "2"


def test_streams_are_booked_too(running: Running) -> None:
    for expected in ("15", "5"):
        answer = post(running, METERED, {**BODY, "stream": True})
        assert answer.headers["x-ratelimit-remaining-tokens"] == expected
        assert '"usage"' not in answer.text
        time.sleep(0.2)
    assert post(running, METERED).status_code == 429


class Silent:
    """A Limiter's handle that never answers, or fails."""

    def __init__(self, failure: Exception | None):
        self.asked = 0
        self.failure = failure
        self.admit = self.spend = self

    async def remote(self, *_: Any) -> None:
        self.asked += 1
        if self.failure:
            raise self.failure
        await asyncio.sleep(30)


@pytest.mark.parametrize("failure", [None, RuntimeError("it died")])
def test_a_limiter_that_does_not_answer_lets_everybody_through(
    serving: Callable[[Any], str], args: GatewayArgs, one: Backend, failure: Exception | None
) -> None:
    silent = Silent(failure)
    found = start(serving, args, silent)
    found.configure(route("one", target("one", serving(one))))
    started = time.monotonic()
    assert {post(found, METERED).status_code for _ in range(6)} == {200}
    assert time.monotonic() - started < 5
    assert silent.asked < 6, "while it is silent nobody waits for it"
    assert sum(found.counted.of("gateway_limiter_silent").values()) >= 6


def test_a_new_file_of_keys_is_taken_and_a_broken_one_is_not(
    running: Running, keys_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for text, cause in (("keys: [", "not YAML"), ("keys: [{name: a}]", "keys.0.sha256: Field required")):
        replace(keys_file, text)
        time.sleep(1.1)
        assert post(running, KEY).status_code == 200
        assert cause in caplog.text
    keys_file.unlink()
    time.sleep(1.1)
    assert post(running, KEY).status_code == 200
    replace(keys_file, keys_text({"name": "new", "sha256": digest("sk-new")}))
    time.sleep(1.1)
    assert [post(running, KEY).status_code, post(running, "sk-new").status_code] == [401, 200]
    assert KEY not in caplog.text


def test_a_secret_is_a_link_that_turns(tmp_path: Path) -> None:
    """Kubernetes: keys.yaml -> ..data/keys.yaml, ..data -> ..2026; ..data is replaced."""
    for name in ("old", "new"):
        (tmp_path / f"..{name}").mkdir()
        (tmp_path / f"..{name}" / "keys.yaml").write_text(name)
    (tmp_path / "..data").symlink_to("..old")
    (tmp_path / "keys.yaml").symlink_to("..data/keys.yaml")
    watched = Watched(tmp_path / "keys.yaml", str, every_s=0)
    assert watched.value == "old"
    (tmp_path / "..next").symlink_to("..new")
    (tmp_path / "..next").rename(tmp_path / "..data")
    assert watched.value == "new"


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "keys: Input should be"),
        ("keys: 5", "keys: "),
        ("kyes: []", "keys: Field required"),
        ("keys: [{name: a, sha256: short}]", "keys.0.sha256: String should match"),
        (keys_text({"name": "a b", "sha256": digest("x")}), "keys.0.name: "),
        (keys_text({"name": "a", "sha256": digest("x"), "requests_per_minute": 0}), "keys.0.requests_per_minute: "),
        (keys_text({"name": "a", "sha256": digest("x"), "models": []}), "keys.0.models: "),
        (keys_text({"name": "a", "sha256": digest("x"), "key": "x"}), "keys.0.key: Extra"),
        (keys_text({"name": "a", "sha256": digest("x")}, {"name": "a", "sha256": digest("y")}), "keys: Value error"),
        (keys_text({"name": "a", "sha256": digest("x")}, {"name": "b", "sha256": digest("x")}), "the same sha256"),
    ],
)
def test_a_wrong_file_of_keys_is_one_line_that_names_the_field(text: str, cause: str) -> None:
    with pytest.raises(ValueError, match="keys") as wrong:
        parse_keys(text)
    assert cause in str(wrong.value)
    assert "\n" not in str(wrong.value)


def test_at_the_start_the_file_must_be_right_and_without_one_nobody_is_known(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Keys(tmp_path / "keys.yaml")
    with pytest.raises(PipelineError, match="no API key"):
        Keys(None).of(f"Bearer {KEY}")


def test_the_demo_key_is_that_of_the_local_file() -> None:
    keys = Keys(GatewayArgs(keys_file=Path("apps/gateway/local-keys.yaml")).keys_path)
    assert keys.of("bearer local-demo-key").name == "demo"


def test_counts_are_kept_by_key_and_by_limit() -> None:
    async def count() -> list[str]:
        rates = Rates()
        verdicts = [await rates.admit(name, 2, None) for name in ("a", "a", "a", "b")]
        await rates.spend("c", 50, 40)
        return [
            verdict.over for verdict in (*verdicts, await rates.admit("c", 5, 40), await rates.admit("d", None, 40))
        ]

    assert asyncio.run(count()) == ["", "", "requests", "", "tokens", ""]


def test_the_limiter_waits_for_the_way_in_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[str] = []
    monkeypatch.setattr("apps.common.gate.ProxyGate.wait_for_answer", lambda _: waited.append("gate"))
    replica = LimiterReplica()
    assert len(waited) == 2

    async def use() -> tuple[str, bool, str]:
        first = await replica.admit("a", 1, 10)
        booked = await replica.spend("a", 10, 10)
        return first.over, booked, (await replica.admit("a", 1, 10)).over

    assert asyncio.run(use()) == ("", True, "tokens")
