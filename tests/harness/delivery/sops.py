"""Secrets in Git, encrypted by the real sops for a key of the test's own; Flux's module holds both programs."""

from dataclasses import dataclass
from pathlib import Path

from rayops import proc
from tests.harness.delivery import images


@dataclass(frozen=True)
class Key:
    """A key pair of age. private: what Flux's Secret holds under `identity.agekey`."""

    public: str
    private: str


def new_key() -> Key:
    """A new key pair."""
    private = proc.run([images.age_keygen()], timeout=30)
    public = next(line for line in private.splitlines() if line.startswith("# public key: "))
    return Key(public.removeprefix("# public key: "), private)


def encrypt(file: Path, config: Path) -> None:
    """Encrypt a file in place by the rules of a .sops.yaml above it."""
    proc.run([images.sops(), "encrypt", "--in-place", file.relative_to(config.parent)], cwd=config.parent, timeout=30)
