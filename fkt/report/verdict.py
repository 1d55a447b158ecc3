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
    """failed: no verdict, because the training of one of the arms failed."""
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
    images = next(((seeds, images) for seeds, images in options if images is not None and images > num_images), None)
    return Decision(found, kind, needed_seeds(found.spread, num_images, size, level), images)


UNDECIDED = "undecided: these runs do not show which arm is better"
NOT_JOINTLY = "do not train jointly"
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
    ("worse", "worse"): NOT_JOINTLY,
    ("worse", "undecided"): NOT_JOINTLY,
    ("undecided", "better"): "joint training beats pretraining first; whether it beats labels alone is undecided",
    ("undecided", "worse"): "pretraining first beats joint training; whether that beats labels alone is undecided",
}
_WITHOUT_JOINT = {
    "better": "pretrain first, then fine-tune",
    "worse": "train on labels alone",
    "equivalent": "train on labels alone",
    "undecided": f"{NOT_JOINTLY}; whether pretraining first beats labels alone is undecided",
    None: NOT_JOINTLY,
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
        words = _ADVICE.get((first, second), UNDECIDED)
        return _WITHOUT_JOINT[_third(found)] if words == NOT_JOINTLY else words
    if first:
        return _SINGLE.get(first, UNDECIDED)
    if len(decisions) == 1 and decisions[0].kind in ("better", "worse"):
        return f"{decisions[0].comparison.name_a} is {decisions[0].kind} than {decisions[0].comparison.name_b}"
    return "see the comparisons below" if {*found.values()} - {"undecided"} else UNDECIDED


def _third(found: Mapping[tuple[str, str], str]) -> str | None:
    """Return what the contrast representational - supervised says, if it is declared in either order."""
    kind = found.get(("supervised", "representational"))
    flipped = {"better": "worse", "worse": "better"}.get(kind, kind) if kind else None
    return found.get(("representational", "supervised"), flipped)


def answer(decisions: Sequence[Decision], others: Sequence[Comparison]) -> str:
    """Return the verdict in one or two sentences. others: comparisons that get no verdict."""
    if not decisions and not others:
        return "There is only one arm, so there is nothing to compare."
    if not decisions:
        return "No verdict: report.contrasts in params.yaml names no two arms that were trained."
    words = advice(decisions)
    sentence = f"{words[0].upper()}{words[1:]}."
    rest = next((one for one in others if (one.name_a, one.name_b) == ("representational", "supervised")), None)
    if words == NOT_JOINTLY and rest is not None and not rest.low <= 0 <= rest.high:
        better = "Pretraining first looks" if rest.low > 0 else "Labels alone look"
        other = "labels alone" if rest.low > 0 else "pretraining first"
        return f"{sentence} {better} better than {other} (exploratory, no verdict)."
    return sentence


def sentence(decision: Decision, report: Report) -> str:
    """Return what a contrast says, with its interval."""
    found, kind = decision.comparison, decision.kind
    numbers = (
        f"{100 * found.difference:+.1f} points ({100 * report.confidence:g} % interval: {100 * found.low:+.1f} to "
        f"{100 * found.high:+.1f})"
    )
    if kind in ("better", "worse"):
        return f"{found.name_a} is {kind} than {found.name_b}: {numbers}."
    both = f"{found.name_a} and {found.name_b}"
    if kind == "equivalent":
        margin = f"{report.margin:g} point{'' if report.margin == 1 else 's'}"
        return f"{both} do not differ by a margin that matters ({margin}): {numbers}."
    why = {
        "failed": "no verdict, because a training failed",
        "few seeds": f"no verdict from fewer than {MIN_SEEDS} seeds",
        "undecided": "undecided",
    }[kind]
    enough = kind == "few seeds" and decision.seeds
    tell = f" About {decision.seeds} seeds would tell a difference of this size." if enough else ""
    return f"{both}: {why}. The difference is {numbers}.{tell}"


def chosen_arm(decisions: Sequence[Decision]) -> str | None:
    """Return the arm that the verdict says to use; None if it names none."""
    words = advice(decisions)
    if words in ("train jointly", "pretrain first, then fine-tune"):
        return "functional" if words == "train jointly" else "representational"
    if words.startswith(("labels alone", "train on labels alone")):
        return "supervised"
    return "functional" if words.startswith("use self-supervision") else None


def next_steps(decisions: Sequence[Decision], num_seeds: int, untuned: Sequence[str]) -> list[str]:
    """Return what to do next, as sentences with code in backquotes. untuned: arms whose settings nobody has tuned."""
    kinds = [decision.kind for decision in decisions]
    steps = []
    if "failed" in kinds:
        steps.append(
            "Correct what made a training fail (see the problems), then run `dvc repro` again. It trains only what has "
            "changed."
        )
    if untuned:
        steps.append(
            f"Nobody has tuned {_and(untuned)} on these data: run `fkt tune`, which tries the same number of settings "
            "for every arm on validation images."
        )
    if "few seeds" in kinds:
        wanted = max(MIN_SEEDS, *(decision.seeds or 0 for decision in decisions))
        steps.append(
            f"Write at least {wanted} seeds into `seeds` of params.yaml (now {num_seeds}) and run `dvc repro`: only "
            "the new seeds are trained. Choose the number once: adding seeds until a difference shows finds false ones."
        )
    steps += [_to_decide(decision, num_seeds) for decision in decisions if decision.kind == "undecided"]
    if advice(decisions) == NOT_JOINTLY:
        steps.append(
            "For a verdict on pretraining and labels alone, add `representational - supervised` to `report.contrasts` "
            "and train with new seeds."
        )
    if (arm := chosen_arm(decisions)) is not None:
        steps.append(f"Classify your own images: `fkt predict models/{arm} photo.png`.")
    return steps


def _to_decide(decision: Decision, num_seeds: int) -> str:
    """Return what would decide an open contrast."""
    found = decision.comparison
    ways = [f"{decision.seeds} seeds (now {num_seeds})"] if decision.seeds else []
    if decision.images:
        ways.append(f"{decision.images[1]:,} test images with {decision.images[0]} seeds")
    if not ways:
        return f"More seeds or test images will hardly decide between {found.name_a} and {found.name_b}."
    return f"To decide between {found.name_a} and {found.name_b}, you need about {' or about '.join(ways)}."


def _and(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
