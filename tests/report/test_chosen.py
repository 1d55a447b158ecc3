"""metrics/model.json: the arm to use, and its scores against a direct computation."""

import json
from pathlib import Path

import numpy as np
import pytest

from fkt.core.runs import CHOSEN, Run
from fkt.params import Params
from fkt.report.arms import read_arms
from fkt.report.chosen import arm_in_use
from fkt.report.statistics import Comparison, Spread
from fkt.report.verdict import Decision
from stages.report import main
from tests.report.fabricated import ARMS, results_of


def test_scores_and_sentences_are_those_of_the_predictions_and_of_the_report(
    params: Params, numbers_only: None
) -> None:
    main(params)
    content = json.loads(CHOSEN.read_text())
    assert content["arm"] == "functional" and content["why"].startswith("by the best validation accuracy, because")
    assert content["dataset"] == "digits" and content["images"]["test"] == 120
    report = Path("metrics/report.md").read_text()
    assert all(sentence in report for sentence in content["verdict"])
    assert all(f"- **{name}**: {text}" in report for name, text in content["conditions"])
    for arm in ARMS:
        labels = np.load(Run("digits", arm, 0).predictions)["labels"]
        each = [np.load(Run("digits", arm, seed).predictions)["probabilities"] for seed in params.seeds]
        score = content["scores"][arm]
        assert score["mean"] == pytest.approx(np.mean([one["accuracy"] for one in results_of(arm)]), abs=1e-5)
        assert score["ensemble"] == pytest.approx((np.mean(each, axis=0).argmax(axis=1) == labels).mean(), abs=1e-5)
        assert score["low"] < score["mean"] < score["high"] and score["seeds"] == 3


def test_the_verdict_comes_before_the_validation_accuracy(params: Params) -> None:
    arms = read_arms("digits", ARMS, params.seeds)
    spread = Spread(0.01, 0.05, 0.1)
    worse = Decision(Comparison("functional", "supervised", -0.1, -0.2, -0.05, 0.01, spread, [-0.1] * 5), "worse")
    assert arm_in_use(arms, [worse]) == ("supervised", "by the verdict")
    assert arm_in_use(arms, [])[0] == "functional"
