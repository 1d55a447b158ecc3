"""Where the measurement of what is learned finds raw images, for it works in a temporary folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.learning import found_from_anywhere
from fkt.params import Params, load_params
from tests.conftest import ROOT


def of(dataset: str, source: str | None) -> Params:
    params = load_params(ROOT / "params.yaml")
    prepare = params.prepare.model_copy(update={"source": source})
    return params.model_copy(update={"dataset": dataset, "prepare": prepare})


@pytest.mark.parametrize(
    ("source", "found"),
    [(None, "data/raw/cifar10"), ("images", "images"), ("/elsewhere/cifar10", "/elsewhere/cifar10")],
)
def test_raw_images_are_found_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str | None, found: str
) -> None:
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    assert found_from_anywhere(of("cifar10", source)).prepare.source == str(tmp_path / found)


def test_digits_have_no_folder() -> None:
    assert found_from_anywhere(of("digits", None)).prepare.source is None
