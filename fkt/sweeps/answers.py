"""What the numbers of a table answer: the level that validation chooses, and when one arm reaches another."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

from fkt.sweeps.experiments import Experiment
from fkt.sweeps.matching import Gathered
from fkt.sweeps.metrics import METRICS
from fkt.sweeps.table_spec import Choice, Levels, Reach, Table
from fkt.sweeps.values import Value, value_of
from fkt.sweeps.written import written


def answers(table: Table, axes: Mapping[str, Levels], gathered: Gathered) -> list[str]:
    """Return the sentences that stand below a table."""
    said: list[str] = []
    for mode in table.modes:
        if table.choice is not None:
            said += _choices(table.choice, mode, axes, gathered)
        if table.reach is not None:
            said += _reached(table.reach, mode, axes, gathered)
    return said


def _choices(choice: Choice, mode: str, axes: Mapping[str, Levels], gathered: Gathered) -> Iterator[str]:
    for others in _others(axes, {choice.axis}):
        known: dict[str, tuple[Value, Value]] = {}
        for level in axes[choice.axis]:
            experiment = gathered.experiment({**others, choice.axis: level})
            if experiment is not None:
                by, judge = (value_of(experiment, mode, name) for name in (choice.by, choice.judge))
                if by is not None and judge is not None:
                    known[level] = by, judge
        if known:
            yield _chosen(choice, known, _where(mode, others), len(axes[choice.axis]))


def _chosen(choice: Choice, known: Mapping[str, tuple[Value, Value]], where: str, levels: int) -> str:
    best = max(by.mean for by, _ in known.values())
    ties = [level for level, (by, _) in known.items() if by.mean == best]
    chosen = ties[0]
    hindsight = max(known, key=lambda level: known[level][1].mean)
    by, judge = known[chosen]
    cost = METRICS[choice.judge].scale * (known[hindsight][1].mean - judge.mean)
    text = (
        f"{where}: {METRICS[choice.by].name} chooses {choice.axis} {chosen} with {written(by, choice.by)}; the "
        f"{METRICS[choice.judge].name} there is {written(judge, choice.judge)}. "
    )
    if cost <= 0:
        text += "No other is better on test images: choosing by validation costs nothing."
    else:
        text += (
            f"The best in hindsight is {choice.axis} {hindsight} with {written(known[hindsight][1], choice.judge)}, a "
            f"maximum over {len(known)} noisy means, so an upper estimate: choosing by validation costs {cost:.2f} "
            "points."
        )
    if len(ties) > 1:
        text += f" On validation images {', '.join(ties)} tie; the first is taken."
    return text + _partly(len(known), levels, choice.axis)


def _reached(reach: Reach, mode: str, axes: Mapping[str, Levels], gathered: Gathered) -> Iterator[str]:
    along = list(axes[reach.along])
    for others in _others(axes, {reach.axis, reach.along}):

        def found(level: str, step: str, others: Mapping[str, str] = others) -> tuple[Experiment | None, Value | None]:
            experiment = gathered.experiment({**others, reach.axis: level, reach.along: step})
            return experiment, None if experiment is None else value_of(experiment, mode, reach.by)

        where, label = _where(mode, others), METRICS[reach.by].name
        last, goal = found(reach.base, along[-1])
        if last is None or goal is None:
            yield f"{where}: what {reach.base} ends with is not known yet."
            continue
        aim = f"{where}: {reach.base} ends with a {label} of {written(goal, reach.by)} at {reach.along} {along[-1]}"
        steps = [(step, *found(reach.other, step)) for step in along]
        known = [(step, one, value) for step, one, value in steps if one is not None and value is not None]
        first = next((entry for entry in known if entry[2].mean >= goal.mean), None)
        partly = _partly(len(known), len(along), reach.along)
        if first is None:
            yield f"{aim}; {reach.other} reaches that at none of {len(known)} levels.{partly}"
            continue
        step, experiment, value = first
        spent = ", ".join(_spent(name, mode, experiment, last) for name in reach.costs)
        yield (
            f"{aim}; {reach.other} is first there at {step} ({written(value, reach.by)}; on the means, "
            f"without a test): {spent}.{partly}"
        )


def _spent(name: str, mode: str, one: Experiment, other: Experiment) -> str:
    """Compare what two experiments took of one thing."""
    ours, theirs = value_of(one, mode, name), value_of(other, mode, name)
    label = METRICS[name].name
    if ours is None or theirs is None:
        return f"{label} not known"
    share = f" ({ours.mean / theirs.mean:.2f} times)" if theirs.mean > 0 else ""
    return f"{label} {written(ours, name)} instead of {written(theirs, name)}{share}"


def _others(axes: Mapping[str, Levels], without: set[str]) -> Iterator[dict[str, str]]:
    rest = [[(axis, label) for label in levels] for axis, levels in axes.items() if axis not in without]
    yield from (dict(combination) for combination in itertools.product(*rest))


def _where(mode: str, levels: Mapping[str, str]) -> str:
    return ", ".join([mode, *(f"{axis} {label}" for axis, label in levels.items())])


def _partly(known: int, levels: int, axis: str) -> str:
    return "" if known == levels else f" Only {known} of {levels} levels of {axis} are there."
