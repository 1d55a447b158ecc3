"""What dvc.yaml says of a training stage: the parameters and the code that it depends on, under ``meta``.

DVC itself does not read them. The plan has their values, and the stage depends on the plan.
"""

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from fkt.core.arms import NETWORKS
from fkt.core.runs import SKIP

ROOT = Path(__file__).resolve().parents[2]


def planned(trained: Collection[str], content: Mapping[str, Any]) -> dict[str, str]:
    """Return the text of the plan for each network: the parameters and the code of its training, or ``skip``.

    trained: the networks that the modes need; content: of params.yaml, with every value checked.
    """
    return {
        name: json.dumps(training_inputs(network.stage, content), indent=1, sort_keys=True) + "\n"
        if name in trained
        else SKIP
        for name, network in NETWORKS.items()
    }


def training_inputs(stage: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``params`` and ``code`` of a training stage, as the plan has them.

    content: of params.yaml, with every value checked.
    """
    return {"params": stage_params(stage, content), "code": code_digest(stage)}


def stage_params(stage: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the dotted names and values of the parameters that a training stage depends on.

    content: of params.yaml. A name such as ``ssl.${ssl.method}`` is resolved as DVC resolves it.
    """
    listed = _meta(ROOT)[stage]["params"]
    names = [re.sub(r"\$\{(.+?)\}", lambda found: str(_at(content, found[1])), name) for name in listed]
    return {name: _at(content, name) for name in names}


def code_digest(stage: str) -> str:
    """Return the sha256 of the source files that a training stage depends on."""
    digest = hashlib.sha256()
    for listed in (ROOT / name for name in _meta(ROOT)[stage]["code"]):
        for path in sorted(listed.rglob("*.py")) if listed.is_dir() else [listed]:
            digest.update(path.read_bytes())
    return digest.hexdigest()


@cache
def _meta(root: Path) -> dict[str, dict[str, list[str]]]:
    """Return ``meta`` of each training stage."""
    stages: dict[str, Any] = yaml.load((root / "dvc.yaml").read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)[
        "stages"
    ]
    return {name: stage["meta"] for name, stage in stages.items() if "meta" in stage}


def _at(content: Any, name: str) -> Any:  # noqa: ANN401 - a value of params.yaml
    for part in name.split("."):
        content = content[part]
    return content
