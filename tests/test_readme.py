"""The README's example of a method is one file and one entry, and trains in both ways."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from tests.conftest import ROOT, Project

SMALL = {"prepare": {"limit_per_class": 20}, "budget": {"passes": 8, "checks": 2}}


def add_method(project: Project) -> None:
    """Do what the README says: the file, and the entry."""
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    assert sum(bool(line.strip()) for line in code.splitlines()) <= 25
    (project.root / "fkt/ssl/uniformity.py").write_text(code)
    registry = project.root / "fkt/ssl/methods.py"
    text = registry.read_text()
    text = text.replace("from fkt.ssl.vicreg", "from fkt.ssl.uniformity import Uniformity\nfrom fkt.ssl.vicreg")
    registry.write_text(
        text.replace('    "vicreg": VICReg,\n', '    "vicreg": VICReg,\n    "uniformity": Uniformity,\n')
    )


def write_params(root: Path, size: int, balance: str = "fixed") -> None:
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    for section, values in SMALL.items():
        content[section] |= values
    for stage in ("pretrain", "joint"):
        content[stage]["batch_size"] = 32
    content["joint"]["balance"] = balance
    content["ssl"] |= {"method": "uniformity", "uniformity": {"size": size, "t": 2.0}}
    (root / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def test_the_example_method_is_one_file_and_one_entry_and_trains(project: Project) -> None:
    write_params(project.root, 64)
    project.python("stages.prepare")
    unregistered = project.python("stages.pretrain", "pretrained", "0", check=False)
    assert unregistered.returncode == 1
    assert "'uniformity' has a section but no entry in METHODS" in unregistered.stderr

    add_method(project)
    write_params(project.root, 0)
    refused = project.python("stages.joint", "functional", "0", check=False)
    assert refused.returncode == 1
    assert "params.yaml: ssl.uniformity.size: 0 is out of range; give at least 1" in refused.stderr

    write_params(project.root, 64)
    for stage, mode in (("pretrain", "pretrained"), ("joint", "functional")):
        project.python(f"stages.{stage}", mode, "0")
        log = project.root / "metrics/logs" / mode / "s0"
        assert json.loads((log / "cost.json").read_text())["warnings"] == []
        header, *rows = (log / "curve.csv").read_text().splitlines()
        first, last = (float(row.split(",")[header.split(",").index("spread")]) for row in (rows[0], rows[-1]))
        assert last < first < 0, "the images spread"

    write_params(project.root, 64, "gradnorm")
    project.python(
        "stages.joint", "functional", "0"
    )  # which measures the loss from its infimum, and stops where it falls below
