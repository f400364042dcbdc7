"""API keys: who asks, what they may ask for and how much. Only hashes of keys are kept."""

import hashlib
import hmac
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field, StringConstraints, ValidationError, field_validator

from apps.common.openai.errors import invalid_api_key
from apps.common.settings import Arguments
from apps.gateway.files import Watched
from apps.gateway.routing import Allowed

_SCHEME = "bearer"


class ApiKey(Arguments):
    """One key: `sha256` of a long random text, in hexadecimal."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    models: tuple[str, ...] = Field(default=("*",), min_length=1, description="their own names, no aliases; * is all")
    requests_per_minute: int | None = Field(default=None, ge=1, le=10_000_000)
    tokens_per_minute: int | None = Field(default=None, ge=1, le=10_000_000_000)

    @property
    def allowed(self) -> Allowed:
        """The models that this key may use."""
        return Allowed(frozenset(self.models))


class KeysFile(Arguments):
    """A file of keys."""

    keys: tuple[ApiKey, ...]

    @field_validator("keys")
    @classmethod
    def _differ(cls, keys: tuple[ApiKey, ...]) -> tuple[ApiKey, ...]:
        for what in ("name", "sha256"):
            values = [getattr(key, what) for key in keys]
            if len(values) != len(set(values)):
                raise ValueError(f"two keys have the same {what}")
        return keys


def parse_keys(text: str) -> KeysFile:
    """Return the keys of a file.

    Raises:
        ValueError: one line that names the field; never a key.
    """
    try:
        return KeysFile.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise ValueError("not YAML") from error
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "keys"
        raise ValueError(f"{where}: {first['msg']}") from error


class Keys:
    """Whom the gateway knows; without a file nobody.

    Raises:
        OSError, ValueError: the file is not there or wrong, at the start.
    """

    def __init__(self, path: Path | None):
        self._file = Watched(path, parse_keys) if path else None

    def of(self, authorization: str | None) -> ApiKey:
        """Return the key of an Authorization header.

        Every key is compared, each in constant time: how long it takes says nothing of a key.

        Raises:
            PipelineError: 401.
        """
        scheme, _, given = (authorization or "").partition(" ")
        digest = hashlib.sha256(given.strip().encode("utf-8", "surrogateescape")).hexdigest()
        found = None
        for key in self._file.value.keys if self._file else ():
            if hmac.compare_digest(key.sha256, digest):
                found = key
        if found is None or scheme.lower() != _SCHEME:
            raise invalid_api_key()
        return found

    @property
    def known(self) -> int:
        """How many keys there are."""
        return len(self._file.value.keys) if self._file else 0
