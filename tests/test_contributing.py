"""The example of a method in CONTRIBUTING.md is two classes and two rows, and trains in both ways."""

import json
import re
from pathlib import Path

import yaml

from tests.conftest import ROOT, Project

SMALL = {"prepare": {"limit_per_class": 20}, "budget": {"passes": 8, "checks": 2}}


def insert(path: Path, before: str, text: str) -> None:
    content = path.read_text()
    assert content.count(before) == 1
    path.write_text(content.replace(before, text + before))


def add_method(root: Path) -> None:
    """Do what CONTRIBUTING.md says: a section with its row, and a method with its row."""
    section, method = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.DOTALL)
    assert sum(bool(line.strip()) for line in (section + method).splitlines()) <= 25
    insert(root / "fkt/params/methods.py", "SECTIONS: dict", section + "\n\n")
    insert(root / "fkt/params/methods.py", '    "vicreg":', '    "uniformity": UniformityParams,\n')
    (root / "fkt/ssl/uniformity.py").write_text(method)
    insert(root / "fkt/ssl/methods.py", "from fkt.ssl.vicreg", "from fkt.ssl.uniformity import Uniformity\n")
    insert(root / "fkt/ssl/methods.py", '    "vicreg":', '    "uniformity": Uniformity,\n')


def write_params(root: Path, size: int, balance: str = "fixed") -> None:
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    for section, values in SMALL.items():
        content[section] |= values
    for stage in ("pretrain", "joint"):
        content[stage] |= {"batch_size": 32, "learning_rate": 0.003}
    content["joint"]["balance"] = balance
    content["ssl"] |= {"method": "uniformity"}
    content["ssl"]["uniformity"] = {"projector_hidden": 128, "projector_size": size, "t": 2.0}
    (root / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def test_the_example_method_is_checked_strictly_and_trains(project: Project) -> None:
    write_params(project.root, 64)
    unknown = project.python("fkt", "check", check=False)
    assert "ssl.uniformity: unknown key; " in unknown.stderr
    assert "ssl.method: unknown value 'uniformity'; choose from: simclr, " in unknown.stderr

    add_method(project.root)
    write_params(project.root, 0)
    refused = project.python("fkt", "check", check=False)
    assert "params.yaml: ssl.uniformity.projector_size: 0 is out of range; give at least 2" in refused.stderr

    write_params(project.root, 64)
    project.python("stages.prepare")
    for stage, mode in (("pretrain", "pretrained"), ("joint", "functional")):
        project.python(f"stages.{stage}", mode, "0")
        log = project.root / "metrics/logs" / mode / "s0"
        assert json.loads((log / "cost.json").read_text())["warnings"] == []
        header, *rows = (log / "curve.csv").read_text().splitlines()
        first, last = (float(row.split(",")[header.split(",").index("spread")]) for row in (rows[0], rows[-1]))
        assert last < first < 0, "the images spread"

    write_params(project.root, 64, "gradnorm")
    project.python("stages.joint", "functional", "0")  # gradnorm stops if the loss falls below its lower bound
