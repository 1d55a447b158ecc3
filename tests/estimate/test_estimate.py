"""The sum of an estimate, what is measured anew, and the words of 'fkt check'."""

import json
from typing import Any

import pytest

from fkt.cli.check import table
from fkt.cli.main import main
from fkt.core.progress import in_words
from fkt.estimate import estimate as module
from fkt.estimate.estimate import ALONE_SHARE, LIGHT_SHARE, Estimate, cached
from fkt.raw.counts import Counts
from tests.stages.running import Write

MEASURED = {
    "dvc": 1.0,
    "start": 2.0,
    "share": 1.0,
    "memory_mb": 500.0,
    "gpu_memory_mb": 0.0,
    "image_seconds": 0.0,
    "probe_seconds": 3.0,
    "networks": {
        "pretrained": {"steps": 10, "images": 160, "seconds": 40.0, "bytes": 2**20},
        "supervised": {"steps": 30, "images": 480, "seconds": 90.0, "bytes": 2**20},
        "representational": {"steps": 20, "images": 320, "seconds": 50.0, "bytes": 2**20},
    },
}


def test_the_sum_of_one_job(write_params: Write) -> None:
    params = write_params({"seeds": [0, 1], "modes": ["supervised", "representational"]})
    one = Estimate(params, Counts([600, 400], 200, 300), MEASURED, jobs=1)
    start = 2 + ALONE_SHARE  # of each stage that imports torch: plan does not
    trained = 2 * (40 + 90 + 50 + 3 * start)
    scored = 3 * (start + 2 * 3)  # two modes and the untrained backbone, two seeds
    others = (ALONE_SHARE + 0.5) + start + (start + 1) + 2 * start + (start + 2)  # plan, prepare, views, cam, report
    notes = (2 * 6 + 1) * LIGHT_SHARE  # of the six other networks, and the listing of the raw files
    assert one.seconds() == pytest.approx(trained + scored + others + notes, rel=1e-3)
    assert one.disk_mb() == pytest.approx(2 * (1500 * 16 * 16 / 2**20 + 2 * 3))
    two = Estimate(params, one.counts, MEASURED, jobs=2)
    assert one.seconds() / 2 < two.seconds() < one.seconds() and two.memory_mb() == 2 * one.memory_mb()
    assert in_words(one.seconds()) in table(one) and "warning: fewer than 50 steps: pretrained, " in table(one)
    slow = json.loads(json.dumps(MEASURED).replace("90.0", "1e6").replace('steps": ', 'steps": 5'))
    warned = table(Estimate(params, one.counts, slow, jobs=1)).split("warning: ")
    assert len(warned) == 2 and warned[1].startswith("this takes 23")


def test_a_measurement_is_kept_for_what_does_not_change_the_speed(
    write_params: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured: list[object] = []

    def side_by_side(command: list[str], environments: list[Any]) -> tuple[float, list[Any]]:
        measured.append(command)
        ended = type("Ended", (), {"returncode": 0})()
        return 1.0, [(ended, json.dumps(MEASURED), "")] * len(environments)

    monkeypatch.setattr(module, "_side_by_side", side_by_side)
    modes = ["pretrained", "supervised", "representational"]
    params = write_params({"modes": modes})
    assert cached(params, 2) is None
    main(["check", "--jobs", "2"])
    assert "In all about" in capsys.readouterr().out and len(measured) == 2, "DVC, and the steps"
    assert (kept := cached(params, 2)) is not None and kept.measured["dvc"] == 1.0
    same: list[dict[str, Any]] = [{"lambda": 9.0}, {"seeds": [5]}, {"supervised": {"learning_rate": 0.5}}]
    other: list[dict[str, Any]] = [{"supervised": {"batch_size": 8}}, {"prepare": {"image_size": 8}}]
    for change in same:
        assert cached(write_params({"modes": modes, **change}), 2) is not None, change
    for change in [*other, {"budget": {"passes": 7}}, {"model": {"width": 32}}]:
        assert cached(write_params({"modes": modes, **change}), 2) is None, change
    assert cached(params, 1) is None


def test_without_images_check_says_what_to_do(write_params: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write_params({"dataset": "folder"})
    main(["check"])
    said = capsys.readouterr().out
    assert "ok (dataset folder" in said and "not known yet: " in said and "then run 'fkt check' again" in said


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (59, "59 s"), (89, "1 min"), (3570, "1 h"), (4000, "1 h 7 min"), (8000, "2 h 10 min"),
     (86400, "1.0 days"), (300000, "3.5 days")],
)  # fmt: skip
def test_times_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
