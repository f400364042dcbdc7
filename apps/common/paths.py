"""Where models and data lie: arguments first, then the environment, then the image's own folders."""

import os
from pathlib import Path

MODELS_VARIABLE = "PIPELINE_MODELS"
DATA_VARIABLE = "PIPELINE_DATA"
IMAGE_MODELS = Path("/srv/models")
IMAGE_DATA = Path("/srv/data")


def models_dir(given: Path | None = None) -> Path:
    """Return the folder with one sub-folder per exported model."""
    return given or Path(os.environ.get(MODELS_VARIABLE, str(IMAGE_MODELS)))


def data_dir(given: Path | None = None) -> Path:
    """Return the folder with the prepared indexes."""
    return given or Path(os.environ.get(DATA_VARIABLE, str(IMAGE_DATA)))
