"""The verdict: what the declared contrasts say, and what would decide those that are open."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fkt.params import Report
from fkt.report.statistics import MIN_SEEDS, Comparison, Level, goal, needed_images, needed_seeds, verdict

Kind = Literal["better", "worse", "equivalent", "undecided", "few seeds", "failed"]


@dataclass(frozen=True)
class Decision:
    """One contrast and what it says about its first arm."""

    comparison: Comparison
    kind: Kind
    """failed: the training of one of the arms failed, so there is no verdict."""
    seeds: int | None = None
    """For an open contrast: number of seeds that would decide it with a probability of 80 %, if the images stay."""
    images: tuple[int, int] | None = None
    """For an open contrast: seeds, and the number of test images that would with so many seeds."""


def decide(
    comparisons: Sequence[Comparison], report: Report, *, num_images: int, failed: Collection[str]
) -> list[Decision]:
    """Return the decision on each contrast. failed: arms whose training failed; see checks.py."""
    level = Level(report.confidence, len(comparisons))
    return [_decide(found, report.margin / 100, level, num_images, failed) for found in comparisons]


def _decide(found: Comparison, margin: float, level: Level, num_images: int, failed: Collection[str]) -> Decision:
    num_seeds = len(found.by_seed)
    if not {found.name_a, found.name_b}.isdisjoint(failed):
        return Decision(found, "failed")
    if num_seeds == 1:
        return Decision(found, "few seeds")  # one seed says nothing about others
    if num_seeds < MIN_SEEDS:
        return Decision(found, "few seeds", needed_seeds(found.spread, num_images, abs(found.difference), level))
    kind = verdict(found, margin)
    if kind != "undecided":
        return Decision(found, kind)
    size = goal(found, margin)
    options = ((seeds, needed_images(found.spread, seeds, size, level)) for seeds in (num_seeds, 2 * num_seeds))
    images = next(((seeds, images) for seeds, images in options if images is not None), None)
    return Decision(found, kind, needed_seeds(found.spread, num_images, size, level), images)


# By what the first contrast (functional - supervised) and the second (functional - representational) say.
_ADVICE = {
    ("better", "better"): "train jointly",
    (
        "better",
        "equivalent",
    ): "use self-supervision; before or together with the labels makes no difference that matters",
    ("better", "worse"): "pretrain first, then fine-tune",
    ("better", "undecided"): "use self-supervision; whether before or together with the labels is undecided",
    ("equivalent", "better"): "labels alone are enough",
    ("equivalent", "equivalent"): "labels alone are enough; no arm differs by a margin that matters",
    ("equivalent", "worse"): "pretrain first, then fine-tune",
    ("equivalent", "undecided"): "joint training gains nothing that matters; pretraining first is undecided",
    ("worse", "better"): "train on labels alone",
    ("worse", "equivalent"): "train on labels alone",
    ("worse", "worse"): "do not train jointly; below is how pretraining compares with labels alone",
    ("worse", "undecided"): "do not train jointly; below is how pretraining compares with labels alone",
    ("undecided", "better"): "joint training beats pretraining first; whether it beats labels alone is undecided",
    ("undecided", "worse"): "pretraining first beats joint training; whether that beats labels alone is undecided",
}
_SINGLE = {"better": "train jointly", "equivalent": "labels alone are enough", "worse": "train on labels alone"}


def advice(decisions: Sequence[Decision]) -> str:
    """Return the verdict in a few words: what to do on these data."""
    found: Mapping[tuple[str, str], str] = {
        (decision.comparison.name_a, decision.comparison.name_b): decision.kind for decision in decisions
    }
    first, second = (found.get(("functional", other)) for other in ("supervised", "representational"))
    if "few seeds" in found.values():
        return "too few seeds for a verdict"
    if "failed" in found.values():
        return "no verdict, because a training failed"
    if first and second:
        return _ADVICE.get((first, second), "not enough evidence")
    if first:
        return _SINGLE.get(first, "not enough evidence")
    decided = [decision for decision in decisions if decision.kind != "undecided"]
    return "see the comparisons below" if decided else "not enough evidence"
