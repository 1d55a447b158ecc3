"""How long the stages that are left take: from those that have run, and from the estimate of 'fkt check'."""

from collections.abc import Collection, Mapping, Sequence
from statistics import mean

from fkt.core.arms import NETWORKS
from fkt.params import Params

OTHER_SECONDS, SCORING_SECONDS = 5.0, 1.5
"""Of a stage that trains nothing, before any has run; and of scoring one seed."""
LIGHT, LIGHT_SECONDS = "note", 0.4
"""Kind of the stages that only leave a note, and the seconds of one."""


class Forecast:
    """Seconds of a stage of each kind (a name without its seed or mode)."""

    def __init__(self, estimated: Mapping[str, float], work: Mapping[str, float], seeds: int) -> None:
        """estimated: seconds of each kind, or empty. work: image passes of each kind that trains, in any unit."""
        self.estimated, self.work, self.seeds = estimated, work, seeds
        self._seen: dict[str, list[float]] = {}
        self._running: dict[str, float] = {}

    def learn(self, kind: str, seconds: float, *, running: bool = False) -> None:
        """Note how long a stage took, or will have taken if it is running."""
        if running:
            self._running[kind] = seconds
        else:
            self._seen.setdefault(kind, []).append(seconds)

    def seconds(self, kind: str) -> float | None:
        """Return the expected seconds of a stage; None: nothing is known yet."""
        known = self._running | {kind: mean(found) for kind, found in self._seen.items()}
        if kind in known:
            return known[kind]
        if kind == LIGHT:
            return LIGHT_SECONDS
        if kind in self.estimated:
            return self.estimated[kind] * (_pace(known, self.estimated) or 1.0)
        if kind.startswith("evaluate"):  # it scores all seeds
            return SCORING_SECONDS * self.seeds
        if kind in self.work:
            pace = _pace(known, self.work)
            return None if pace is None else self.work[kind] * pace
        others = known.keys() - self.work.keys() - {LIGHT}
        return mean(known[one] for one in others) if others else OTHER_SECONDS

    def left(
        self,
        running: Mapping[str, float | None],
        waiting: Sequence[str],
        needs: Mapping[str, Collection[str]],
        kinds: Mapping[str, str],
        jobs: int,
    ) -> float | None:
        """Return the seconds until all stages have run; None if that is not known yet.

        running: the seconds that each running stage still takes, or None. waiting: names, each after those it needs.
        """
        ends: dict[str, float] = {}
        total = 0.0
        for name in [*running, *waiting]:
            seconds = running[name] if name in running else self.seconds(kinds[name])
            if seconds is None:
                return None
            total += seconds
            ends[name] = seconds + max((ends.get(need, 0.0) for need in needs[name]), default=0.0)
        return max([total / jobs, *ends.values()])


def _pace(known: Mapping[str, float], units: Mapping[str, float]) -> float | None:
    """Return the seconds of a unit, from the kinds that are known; None: none is."""
    shared = known.keys() & units.keys()
    return sum(known[one] for one in shared) / sum(units[one] for one in shared) if shared else None


def image_passes(params: Params) -> dict[str, float]:
    """Return the image passes per training image that the budget gives each kind of training, about."""
    before = params.budget.passes * params.budget.pretrain_share
    teacher = before * params.distill.teacher_share
    parts = {"pretrained": before, "teacher": teacher, "student": before - teacher}
    after = dict.fromkeys(("representational", "distilled"), params.budget.passes - before)
    return {row.stage: (parts | after).get(name, params.budget.passes) for name, row in NETWORKS.items()}
