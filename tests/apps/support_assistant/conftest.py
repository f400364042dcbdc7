"""Two small runbooks beside another document, and the pipeline over them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from apps.common.prepare import prepare_index
from tests.apps.serving import Served

WARM_UP = "The kettle is cold, it does not boil"
CORPUS = {"prefix": "runbooks/"}
BODY_BYTES = 100_000
DOCUMENTS = {
    "runbooks/kettle-cold.md": """# The kettle stays cold

## Symptom: no hot water and KettleFailed

The kettle is on, the water stays cold, the display says `KettleFailed` or HTTP 503.

## Confirm: is there power

Look at the lamp of the socket.

```bash
kettlectl status --socket
kettlectl power

kettlectl fuse
```

## Cause: the fuse or the plug

- The fuse of the kettle is blown.
- The plug is out.

## Mend: replace the fuse

First pull the plug of the kettle. Then replace the blown fuse. Then boil a litre of water.

## References

The manual of the kettle, fuse and plug and cold water, KettleFailed.
""",
    "runbooks/door-locked.md": """# The door is locked

## Symptom: nobody can enter the house

The key does not turn in the lock of the door.

## Check: which key

| key | door |
|---|---|
| brass | cellar |
| steel | house |

## Steps: oil the lock

Put a drop of oil into the lock.
""",
    "menu.md": "# Menu\n\nOn Fridays there is fish. The kettle of fish soup is cold.\n",
}


@pytest.fixture(scope="session")
def runbooks(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """Data folder with an index of DOCUMENTS."""
    corpus, data = tmp_path_factory.mktemp("runbooks"), tmp_path_factory.mktemp("data")
    for name, text in DOCUMENTS.items():
        (corpus / name).parent.mkdir(exist_ok=True)
        (corpus / name).write_text(text)
    prepare_index(model.parent, data, corpus)
    return data


@pytest.fixture(scope="session")
def feedback_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("feedback") / "feedback.jsonl"


@pytest.fixture(scope="session")
def assistant(served: Callable[..., Served], runbooks: Path, feedback_file: Path) -> Served:
    """The whole pipeline over the small runbooks, with feedback in a file."""
    return served(
        "support-assistant",
        data=runbooks,
        corpus=CORPUS,
        warm_up={"question": WARM_UP},
        feedback={"path": feedback_file},
        limits={"body_bytes": BODY_BYTES, "body_timeout_s": 2},
    )
