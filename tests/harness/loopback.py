"""Only this machine."""

from ipaddress import ip_address
from urllib.parse import urlsplit


def loopback(url: str) -> str:
    """The URL, when it leads to this machine; a ValueError otherwise: load and benchmarks never aim elsewhere."""
    host = urlsplit(url).hostname or ""
    if host != "localhost":
        try:
            local = ip_address(host).is_loopback
        except ValueError:
            local = False
        if not local:
            raise ValueError(f"load goes to loopback addresses only, not to {host or url!r}")
    return url
