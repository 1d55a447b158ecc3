"""What dvc.yaml says of a stage: the parameters and the code that it depends on."""

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CODE = ("fkt", "stages")


def stage_params(stage: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the dotted names and values of the parameters that a stage depends on.

    content: of params.yaml. A name such as ``ssl.${ssl.method}`` is resolved as DVC resolves it.
    """
    names = [
        re.sub(r"\$\{(.+?)\}", lambda found: str(_at(content, found[1])), name) for name in _stage(stage)["params"]
    ]
    return {name: _at(content, name) for name in names}


def code_digest(stage: str) -> str:
    """Return the sha256 of the source files that a stage depends on."""
    digest = hashlib.sha256()
    for dep in (ROOT / dep for dep in _stage(stage)["deps"] if dep.split("/")[0] in CODE):
        for path in sorted(dep.rglob("*.py")) if dep.is_dir() else [dep]:
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _stage(name: str) -> dict[str, Any]:
    stage: dict[str, Any] = _stages(ROOT)[name]
    return stage


@cache
def _stages(root: Path) -> dict[str, Any]:
    stages: dict[str, Any] = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    return stages


def _at(content: Any, name: str) -> Any:  # noqa: ANN401 - a value of params.yaml
    for part in name.split("."):
        content = content[part]
    return content
