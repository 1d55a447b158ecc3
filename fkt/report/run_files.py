"""Files that other stages left, or an error that names the stage that makes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fkt.core.errors import UserError


class MissingResult(UserError):
    """A run's file is not there, or does not belong with the others."""


def require(path: Path, stage: str) -> Path:
    """Return a path that exists. Raises MissingResult, which names the stage that makes the file."""
    if not path.is_file():
        raise MissingResult(f"{path} is missing; run 'dvc repro {stage}', which makes it")
    return path


def read_json(path: Path, stage: str) -> dict[str, Any]:
    """Read a JSON object; see ``require``."""
    content = json.loads(require(path, stage).read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def read_npz(path: Path, stage: str) -> dict[str, NDArray[Any]]:
    """Read all arrays of an npz; see ``require``."""
    with np.load(require(path, stage), allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}
