"""The complete check of params.yaml: names that only the tables of other rooms know."""

from pathlib import Path

import pytest

from fkt.check import load_checked
from fkt.core.errors import ParamsError
from tests.conftest import ROOT
from tests.params.mistakes import edited


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


def test_the_shipped_params_pass() -> None:
    assert load_checked(ROOT / "params.yaml").dataset == "digits"
