"""The complete check of params.yaml: names that only the tables of other rooms know."""

from pathlib import Path

import pytest
import yaml

from fkt.check import load_checked
from fkt.core.errors import ParamsError
from tests.conftest import ROOT
from tests.params.mistakes import SHIPPED, edited


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "dataset",
            "cifar",
            "dataset: unknown dataset 'cifar'; choose from: aptos, .*; did you mean 'cifar10'",
        ),
        ("transfer.datasets", ["usps", "digit"], r"transfer.datasets\[1\]: unknown dataset 'digit'; .*mean 'digits'"),
        ("prepare.masks", "files", r"files needs a dataset of image files \(intel, imagenet100, folder\), not digits"),
        ("lambda", -1, "lambda: -1 is out of range"),
    ],
)
def test_a_mistake_is_named_with_its_remedy(key: str, value: object, message: str, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(edited(key, value))
    with pytest.raises(ParamsError, match=message):
        load_checked(tmp_path / "params.yaml")


def test_a_missing_file_of_weights_is_named_before_anything_trains(tmp_path: Path) -> None:
    content = yaml.safe_load(SHIPPED)
    content["model"] |= {"backbone": "resnet18", "width": 64, "stem": "imagenet"}
    content["prepare"]["channels"] = 3
    content["imagenet"]["source"] = "nowhere.pth"
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    load_checked(tmp_path / "params.yaml")  # the arm is not trained
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content | {"modes": ["imagenet"]}))
    with pytest.raises(ParamsError, match=r"imagenet.source: the file nowhere.pth does not exist; correct the path"):
        load_checked(tmp_path / "params.yaml")


def test_the_shipped_params_pass() -> None:
    assert load_checked(ROOT / "params.yaml").dataset == "digits"
