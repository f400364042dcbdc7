"""Which headers go on to a backend, and which come back from it."""

from collections.abc import Iterable, Mapping

from starlette.datastructures import Headers

from apps.common.deadline import TIMEOUT_HEADER
from apps.common.guard import REQUEST_ID_HEADER

# RFC 9110, 7.6.1: they are about one connection; so is what `Connection` names.
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# Who asks is the gateway's business: no key or cookie of a client goes further. Answers are asked for unpacked, so that
# their usage can be read. The others are set anew.
_OURS = frozenset(
    {
        "authorization",
        "api-key",
        "x-api-key",
        "cookie",
        "host",
        "content-length",
        "content-encoding",
        "content-type",
        "accept-encoding",
        "expect",
        REQUEST_ID_HEADER,
        TIMEOUT_HEADER,
    }
)
_THEIRS = frozenset({"content-length", "date", "server", "set-cookie", REQUEST_ID_HEADER, "x-served-by"})
_RATE_LIMITS = "x-ratelimit-"


Raw = list[tuple[bytes, bytes]]


def upstream(client: Headers, request_id: str, timeout_s: float, key: str | None) -> Raw:
    """Return the headers of the request to a backend that has `timeout_s` seconds; `key` is the gateway's own there.

    As bytes: what a client sends need not be text.
    """
    dropped = HOP_BY_HOP | _OURS | _named(client.getlist("connection"))
    kept = [(name, value) for name, value in client.raw if name.decode("latin-1").lower() not in dropped]
    ours = {
        "content-type": "application/json",
        "accept-encoding": "identity",
        REQUEST_ID_HEADER: request_id,
        TIMEOUT_HEADER: str(max(1, int(timeout_s * 1000))),
        **authorization(key),
    }
    return [*kept, *((name.encode(), value.encode()) for name, value in ours.items())]


def authorization(key: str | None) -> dict[str, str]:
    """Return the header that shows `key`, if there is one."""
    return {"authorization": f"Bearer {key}"} if key else {}


def downstream(backend: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of a backend's answer that its client gets."""
    named = _named([backend.get("connection", "")])
    dropped = HOP_BY_HOP | _THEIRS | named
    lower = {name.lower(): value for name, value in backend.items()}
    return {name: value for name, value in lower.items() if name not in dropped and not name.startswith(_RATE_LIMITS)}


def _named(values: Iterable[str]) -> frozenset[str]:
    return frozenset(name.strip().lower() for value in values for name in value.split(","))
