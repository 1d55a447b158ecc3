"""Runs and their files."""

from pathlib import Path

import pytest

from fkt.core.runs import LOGS, Run, maps_path, remove_other_results, remove_other_seeds, transfer_path


def test_only_the_folders_of_seeds_that_are_not_asked_for_are_removed(tmp_path: Path) -> None:
    for name in ("s0", "s1", "s17", "sketches"):
        (tmp_path / name).mkdir()
    (tmp_path / "s3").write_text("a file")
    remove_other_seeds(tmp_path, [0, 17])
    assert {path.name for path in tmp_path.iterdir()} == {"s0", "s17", "sketches", "s3"}
    remove_other_seeds(tmp_path / "absent", [0])


def test_only_results_that_params_no_longer_asks_for_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    remove_other_results([], [], [])
    stray = Path("metrics/runs/transfer/.DS_Store")
    files = {transfer_path("usps", 0), transfer_path("svhn", 0), stray}
    for mode in ("supervised", "functional"):
        files |= {Run("digits", mode, 0).results, maps_path(mode), LOGS / mode / "s0" / "a", LOGS / mode / "s1" / "a"}
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("kept?")
    remove_other_results(["pretrained", "functional"], [1], ["usps"])
    left = {str(path) for path in Path("metrics").rglob("*") if path.is_file()}
    assert left == {
        "metrics/runs/functional/s0.json", "metrics/maps/functional.npz", str(stray),
        "metrics/runs/transfer/usps/s0.json", "metrics/logs/functional/s1/a", "metrics/logs/supervised/s1/a",
    }  # fmt: skip
