"""What a service, a job and the platform of the largest environment (and of the smallest, where it has them) render to.

Not every overlay: the others differ from these by what test_environments.py holds them to.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from rayops.render import Obj
from tests.render.rules import DIGEST

GOLDEN = Path(__file__).parent / "golden"
FOLDERS = [
    *(Path("overlays", environment, name) for environment in ("local", "prod") for name in ("rag", "embeddings-batch")),
    Path("overlays/prod/llm-70b"),  # the only one with a worker group of several hosts
    Path("overlays/prod/platform"),
]


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_golden(folder: Path, rendered: Callable[[Path], list[Obj]], request: pytest.FixtureRequest) -> None:
    golden = GOLDEN / f"{'-'.join(folder.parts[1:])}.yaml"
    # A promotion is no change of what an environment is.
    text = DIGEST.sub("@DIGEST", yaml.safe_dump_all(rendered(folder), sort_keys=False, width=4096))
    if request.config.getoption("--update-golden", default=False):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert golden.exists(), f"pytest tests/render --update-golden writes {golden.name}"
    assert list(yaml.safe_load_all(golden.read_text())) == list(yaml.safe_load_all(text)), (
        f"{folder} renders to something else; if it is meant: pytest tests/render --update-golden"
    )


def test_every_golden_is_read() -> None:
    assert {file.stem for file in GOLDEN.glob("*.yaml")} == {"-".join(folder.parts[1:]) for folder in FOLDERS}
