"""What a reader of the page should know before believing the verdict: trainings, seeds, budgets, tuning, data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fkt.core.errors import plural
from fkt.data.meta import Meta
from fkt.params import Params
from fkt.raw.notes import findings
from fkt.report.arms import Results
from fkt.report.statistics import MIN_SEEDS

FEW_TEST = 20
"""Test images of a class below which its recall says little, and test groups below which all scores do."""
SUSPECT = (
    "conflicting labels", "copies across splits", "groups across splits", "unreadable files", "ignored folders",
    "cropped images", "classes without images",
)  # fmt: skip
"""What may be wrong with the data; see ``fkt.raw.notes.findings``."""
State = Literal["good", "warn", "bad", "note"]


@dataclass(frozen=True)
class Check:
    """One line of the section on what could be wrong."""

    state: State
    title: str
    text: str


def checks(
    params: Params, results: Results, signs: Mapping[str, Sequence[str]], shared: Mapping[str, Any]
) -> list[Check]:
    """Return what a reader should know before believing the verdict, the worst first."""
    counts, seeds = results.meta.counts, len(params.seeds)
    failed = [sentence for found in signs.values() for sentence in found]
    found = [Check("bad", "A training may have failed", f"{sentence}.") for sentence in failed]
    if not failed:
        found.append(
            Check(
                "good",
                "No sign of a failed training",
                "Every arm predicts better than chance. No loss rose, or was still falling fast at the end. No "
                "features collapsed to one point.",
            )
        )
    found += [Check("warn", "Warning of a training", f"{warning}") for warning in shared["warnings"]]
    found.append(
        Check("good", "Enough seeds", f"{seeds} seeds; a verdict needs at least {MIN_SEEDS}.")
        if seeds >= MIN_SEEDS
        else Check("bad", "Too few seeds", f"{plural(seeds, 'seed')}; a verdict needs at least {MIN_SEEDS}.")
    )
    if shared["unequal"]:
        (most, its_most), (least, its_least) = shared["unequal"]
        unit = params.budget.unit
        reason = {"epochs": "pretraining comes on top of the epochs", "labelled_steps": "pretraining comes on top"}.get(
            unit, "runs are rounded to whole steps"
        )
        reason = "a section of params.yaml sets epochs" if shared["own_epochs"] else f"{reason} (`budget.unit: {unit}`)"
        text = f"{most} used {its_most:,.0f} image passes in a run, {least} used {its_least:,.0f}, because {reason}."
        found.append(Check("warn", "Unequal budgets", f"{text} A difference may come from the extra training."))
    else:
        found.append(Check("good", "Equal budgets", f"All arms spent the same (`budget.unit: {params.budget.unit}`)."))
    found.append(_tuning(shared["tuned"]))
    found += _data_checks(results.meta)
    if min(counts["test"]) < FEW_TEST:
        few = [name for name, count in zip(results.meta.classes, counts["test"], strict=True) if count < FEW_TEST]
        text = f"{plural(len(few), 'class', 'classes')} with fewer than {FEW_TEST}, such as {few[0]}"
        found.append(Check("warn", "Few test images", f"{text}: scores of such a class say little."))
    unequal = findings(results.meta).get("unequal classes")
    if unequal and params.report.metric == "accuracy":
        found.append(Check("warn", "Unequal classes", f"{unequal[0]}."))
    found.append(_groups(results.meta.notes.get("groups")))
    order: dict[State, int] = {"bad": 0, "warn": 1, "good": 2, "note": 3}
    return sorted(found, key=lambda check: order[check.state])


def _tuning(tuned: Mapping[str, int | None]) -> Check:
    trials = set(tuned.values())
    if trials == {None}:
        return Check("warn", "Untuned", "The settings of no arm were tuned on these data: run `fkt tune`.")
    if None in trials or len(trials) > 1:
        text = ", ".join(f"{mode} {trials or 'none'}" for mode, trials in tuned.items())
        return Check(
            "warn", "Unequal tuning", f"Trials on validation images: {text}. An arm with more has an advantage."
        )
    return Check(
        "good", "Equal tuning", f"Every arm's settings are the best of {trials.pop()} trials on validation images."
    )


def _groups(note: Mapping[str, Any] | None) -> Check:
    if note is None:
        return Check(
            "note",
            "Not checked: groups",
            "fkt does not know which images belong together (one patient, one scene, one series), and does not "
            "search for similar ones. If such images are in both training and test, all scores are too high, and all "
            "intervals too narrow. If you have such images, set `prepare.groups`.",
        )
    text = f"{plural(note['count'], 'group')}, {note['test']:,} of them in the test set (`prepare.groups`)."
    if note["sizes"][-1] == 1:
        return Check("warn", "Groups of one image", f"{text} No two images belong together: is the rule right?")
    if note["test"] < FEW_TEST:
        return Check("warn", "Few test groups", f"{text} Images of a group are alike: this is a small test set.")
    return Check("good", "Groups", f"{text} No group is in two splits, and the intervals count groups, not images.")


def _data_checks(meta: Meta) -> list[Check]:
    found = findings(meta)
    checks = [Check("warn", title.capitalize(), f"{found[title][0]}.") for title in SUSPECT if title in found]
    return checks or [
        Check(
            "good",
            "Clean data",
            "All images could be read, and no two identical images are in different splits or classes.",
        )
    ]
