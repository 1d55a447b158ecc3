"""Runs and their files."""

from __future__ import annotations

from pathlib import Path

from fkt.runs import remove_other_seeds


def test_only_the_folders_of_seeds_that_are_not_asked_for_are_removed(tmp_path: Path) -> None:
    for name in ("s0", "s1", "s17", "sketches"):
        (tmp_path / name).mkdir()
    (tmp_path / "s3").write_text("a file")
    remove_other_seeds(tmp_path, [0, 17])
    assert {path.name for path in tmp_path.iterdir()} == {"s0", "s17", "sketches", "s3"}
    remove_other_seeds(tmp_path / "absent", [0])
