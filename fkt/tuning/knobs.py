"""The knobs of each arm: the model of ``tuning.yaml``, and the rule for settings that several arms share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from fkt.core.arms import ARMS, chain
from fkt.core.errors import ParamsError, did_you_mean, unknown_name
from fkt.core.pipeline import stage_params
from fkt.params.presets import nested
from fkt.params.reader import read_yaml
from fkt.params.tuning import CONDITIONS, Scalar
from fkt.sweeps.experiments import override, params_of
from fkt.sweeps.spec import Cell, Settings

TUNING_FILE = Path("tuning.yaml")
LOG, UNIFORM, CHOICES = "log", "uniform", "choices"
FORM = f"write {{{LOG}: [low, high]}}, {{{UNIFORM}: [low, high]}} or {{{CHOICES}: [value, value]}}"
NEAR_END = 0.1
"""Share of a range, at either end, in which a winner asks for a wider range."""
SEQUENCE_SEED = 0


@dataclass(frozen=True)
class Knob:
    """A setting that may be tuned, and its range."""

    key: str
    """Dotted key of params.yaml."""
    kind: str
    values: tuple[Any, ...]
    """Lowest and highest value, or the choices."""

    def value(self, unit: float) -> Scalar:
        """Return the value at a position in [0, 1) of the range; log ranges are uniform in the logarithm.

        Fractions have three significant digits, or as many more as DVC needs to write them.
        """
        if self.kind == CHOICES:
            return cast(Scalar, self.values[int(unit * len(self.values))])
        low, high = self.values
        exact: float = low * (high / low) ** unit if self.kind == LOG else low + (high - low) * unit
        if isinstance(low, int) and isinstance(high, int):
            return round(exact)
        rounded = (float(f"{exact:.{digits}g}") for digits in range(3, 17))
        value = next((one for one in rounded if "." in repr(one)), float(exact))  # DVC writes 3e-05, YAML reads text
        return min(max(value, float(low)), float(high))

    def position(self, value: Any) -> float | None:  # noqa: ANN401 - a value of params.yaml
        """Return where a value is in the range: 0 at its low end, 1 at its high end; None for choices."""
        if self.kind == CHOICES or not isinstance(value, int | float) or (self.kind == LOG and value <= 0):
            return None
        low, high, at = np.log([*self.values, value]) if self.kind == LOG else (*self.values, value)
        return float((at - low) / (high - low))

    def end(self, value: Any) -> str:  # noqa: ANN401 - a value of params.yaml
        """Return ``low`` or ``high`` if a value is at this end of the range or outside of it, otherwise nothing."""
        at = self.position(value)
        return "" if at is None else "low" if at <= NEAR_END else "high" if at >= 1 - NEAR_END else ""


Knobs = dict[str, list[Knob]]
"""The knobs of each arm, in the order of tuning.yaml."""


def load_knobs(now: Settings, path: Path = TUNING_FILE) -> Knobs:
    """Read tuning.yaml and check it against the parameters ``now``. Raise ParamsError with the first mistake."""
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise ParamsError(f"{path} names no arms; write one section for each arm")
    found: Knobs = {}
    for arm, section in content.items():
        if arm not in ARMS:
            raise ParamsError(f"{path}: {unknown_name('arm', str(arm), ARMS)}")
        if not isinstance(section, dict) or not section:
            raise ParamsError(f"{path}: {arm} has no settings to tune; add one, or remove the arm")
        found[arm] = [_knob(f"{path}: {arm}: {key}", str(key), given, now) for key, given in section.items()]
        for knob in found[arm]:
            _check_use(f"{path}: {arm}: {knob.key}", arm, knob.key, found, now)
    return found


def own_knobs(knobs: Knobs, arms: Sequence[str]) -> Knobs:
    """Return the knobs that each of the arms in ``modes`` tunes itself: those that no earlier one of them has.

    Raise ParamsError if an arm is not in tuning.yaml, or if earlier arms tune all of its knobs.
    """
    owned: Knobs = {}
    if missing := [arm for arm in arms if arm not in knobs]:
        raise ParamsError(f"{TUNING_FILE}: no settings of {missing[0]}; add a section, or remove the arm from modes")
    for arm in (arm for arm in knobs if arm in arms):
        taken = {knob.key for earlier in owned.values() for knob in earlier}
        owned[arm] = [knob for knob in knobs[arm] if knob.key not in taken]
        if not owned[arm]:
            raise ParamsError(f"{TUNING_FILE}: earlier arms tune all settings of {arm}; add one that only it has")
    return owned


def sequence(knobs: Sequence[Knob], trials: int) -> list[Settings]:
    """Return the settings of trials 1, 2, ...: a scrambled Halton sequence, of which fewer trials are a prefix."""
    from scipy.stats import qmc

    points: NDArray[np.float64] = qmc.Halton(len(knobs), scramble=True, rng=SEQUENCE_SEED).random(trials)
    return [{knob.key: knob.value(float(unit)) for knob, unit in zip(knobs, row, strict=True)} for row in points]


def uses(arm: str, key: str, now: Settings) -> bool:
    """Return whether the training of an arm depends on a parameter, by dvc.yaml."""
    names = [name for content in stage_contents(arm, now).values() for name in content]
    return any(key == name or key.startswith(f"{name}.") for name in names)


def stage_contents(arm: str, params: Settings) -> dict[str, dict[str, Any]]:
    """Return for each training stage of an arm the parameters that it depends on."""
    content = nested(params)
    return {network.stage: stage_params(network.stage, content) for network in chain(arm)}


def _knob(where: str, key: str, given: object, now: Settings) -> Knob:
    if key not in now:
        raise ParamsError(f"{where}: params.yaml has no such key{did_you_mean(key, now)}")
    kind, values = next(iter(given.items())) if isinstance(given, dict) and len(given) == 1 else ("", None)
    if kind not in (LOG, UNIFORM, CHOICES):
        raise ParamsError(f"{where}: {given!r} is not a range; {FORM}")
    if not isinstance(values, list) or len(values) < 2 or any(isinstance(value, list | dict) for value in values):
        raise ParamsError(f"{where}: {kind}: {values!r} is not a list of two values or more; {FORM}")
    if kind == CHOICES:
        if len({repr(value) for value in values}) < len(values):
            raise ParamsError(f"{where}: {values!r} has a choice twice; write each once")
    else:
        if len(values) != 2 or any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
            raise ParamsError(f"{where}: {kind}: {values!r} is not a range; give two numbers, the smaller one first")
        if not values[0] < values[1]:
            raise ParamsError(f"{where}: {kind}: {values!r} is empty; give the smaller number first")
        if kind == LOG and values[0] <= 0:
            raise ParamsError(f"{where}: {values[0]} has no logarithm; start above 0, or use {UNIFORM}")
    for value in values:
        params_of(Cell(where, {}, {key: value}), now)
        if kind == CHOICES:
            override(value)
    return Knob(key, kind, tuple(values))


def _check_use(where: str, arm: str, key: str, found: Mapping[str, list[Knob]], now: Settings) -> None:
    """Raise ParamsError if a key is not a setting of the arm, or would change a comparison or an earlier arm."""
    if key in CONDITIONS or all(uses(other, key, now) for other in ARMS):
        raise ParamsError(f"{where}: every arm shares this; set it in params.yaml")
    if not uses(arm, key, now):
        users = ", ".join(other for other in ARMS if uses(other, key, now)) or "no arm"
        raise ParamsError(f"{where}: the training of {arm} does not use this; {users} does. Remove it here")
    for other in found:
        if other != arm and uses(other, key, now) and key not in {knob.key for knob in found[other]}:
            raise ParamsError(f"{where}: {other} is tuned earlier and uses this too; move it to {other}")
