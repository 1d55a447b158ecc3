"""Runs and their files."""

from __future__ import annotations

from pathlib import Path

import pytest

from fkt.core.runs import (
    Run,
    maps_path,
    remove_other_modes,
    remove_other_seeds,
    remove_other_transfers,
    transfer_path,
)


def test_only_the_folders_of_seeds_that_are_not_asked_for_are_removed(tmp_path: Path) -> None:
    for name in ("s0", "s1", "s17", "sketches"):
        (tmp_path / name).mkdir()
    (tmp_path / "s3").write_text("a file")
    remove_other_seeds(tmp_path, [0, 17])
    assert {path.name for path in tmp_path.iterdir()} == {"s0", "s17", "sketches", "s3"}
    remove_other_seeds(tmp_path / "absent", [0])


def test_only_results_and_maps_of_modes_that_are_not_asked_for_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for mode in ("supervised", "functional"):
        for path in (Run("digits", mode, 0).results, maps_path(mode)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("kept?")
    remove_other_modes(["pretrained", "functional"])
    left = {str(path) for path in Path("metrics").rglob("*") if path.is_file()}
    assert left == {"metrics/runs/functional/s0.json", "metrics/maps/functional.npz"}


def test_only_results_on_datasets_that_are_not_asked_for_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    remove_other_transfers([])
    for dataset in ("usps", "svhn"):
        transfer_path(dataset, 0).parent.mkdir(parents=True)
        transfer_path(dataset, 0).write_text("kept?")
    stray = Path("metrics/runs/transfer/.DS_Store")
    stray.write_text("left by a file browser")
    remove_other_transfers(["usps"])
    assert {path for path in Path("metrics").rglob("*") if path.is_file()} == {transfer_path("usps", 0), stray}
