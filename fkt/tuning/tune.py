"""Tunes every arm with the same number of trials, and writes the winners into params.yaml."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fkt.check import load_checked
from fkt.core.errors import ParamsError, UserError, unknown_name
from fkt.core.files import write_json, write_text
from fkt.core.runs import METRICS
from fkt.params import PARAMS_FILE, Params, parse_params
from fkt.params.reader import parse_yaml
from fkt.params.tuning import conditions_of, entry_of
from fkt.sweeps.experiments import dvc, present
from fkt.sweeps.spec import Settings
from fkt.tuning.knobs import Knobs, load_knobs, own_knobs, uses
from fkt.tuning.page import Outcome, draw, page
from fkt.tuning.queue import FAILED, WAITING, finished, queue, read_score, start_workers, states, wait
from fkt.tuning.trials import RECORD, Score, Trial, data_digest, read_record, recorded, trials_of, tuning_seeds, winner

PAGE, FIGURE = METRICS / "tables" / "tuning.md", METRICS / "tables" / "tuning.png"


@dataclass(frozen=True)
class Request:
    """What to tune, and how."""

    arms: Sequence[str]
    """Arms to tune; empty: all of ``modes``."""
    trials: int
    seeds: int
    """Number of seeds of each trial."""
    jobs: int
    dry_run: bool


def tune(request: Request) -> None:
    """Run the trials that have no score yet, write the winners, the table and the figure, and print the table.

    Raise ParamsError for a mistake in params.yaml, tuning.yaml or the request, before anything is queued.
    """
    params, now = load_checked(), present()
    everything = load_knobs(now)
    knobs = own_knobs(everything, params.arms)
    for name in request.arms:
        if name not in knobs:
            raise ParamsError(f"--arms: {unknown_name('arm of modes', name, knobs)}")
    arms = [arm for arm in knobs if arm in (request.arms or knobs)]
    seeds = tuning_seeds(params.seeds, request.seeds)
    if not request.dry_run:
        dvc("repro", f"prepare@{params.dataset}")  # the images, once for all trials
    data, record = data_digest(params.dataset), read_record()

    # An arm that is tuned already starts again from where it started, so that more trials continue the same sequence.
    base = dict(now)
    for arm in arms:
        if (entry := entry_of(params, arm)) is not None:
            base |= {key: value for key, value in entry.start.items() if key in {knob.key for knob in knobs[arm]}}
    start, outcomes = dict(base), dict[str, Outcome]()
    while left := [arm for arm in arms if arm not in outcomes]:
        ready = [arm for arm in left if not _waits(arm, left, knobs, base)]
        trials = {arm: trials_of(arm, knobs[arm], base, seeds, request.trials, data) for arm in ready}
        if request.dry_run:
            _announce(trials, record)
            if later := [arm for arm in left if arm not in ready]:
                print(f"then {', '.join(later)}, with the winners of these")
            return
        scores = _run([trial for arm in ready for trial in trials[arm]], base, now, params, seeds, request.jobs)
        for arm in ready:
            outcomes[arm] = Outcome(arm, knobs[arm], trials[arm], scores, winner(trials[arm], scores))
            if len(outcomes[arm].failed) == request.trials:
                raise UserError(
                    f"all trials of {arm} have failed; 'dvc queue logs {trials[arm][0].cell.name}' says why"
                )
            base |= outcomes[arm].chosen.settings
    _write(outcomes, everything, start, base, params, seeds)
    text = page([outcomes[arm] for arm in arms], conditions_of(params), seeds)
    draw([outcomes[arm] for arm in arms], FIGURE)
    write_text(PAGE, f"{text}\n![Validation accuracy against each setting]({FIGURE.name})\n")
    print(f"{text}\nwritten: {PARAMS_FILE}, {PAGE}, {FIGURE}, {RECORD}")


def _waits(arm: str, left: Sequence[str], knobs: Knobs, now: Settings) -> bool:
    """Return whether an arm depends on a setting that an earlier arm has still to decide."""
    earlier = left[: left.index(arm)]
    return any(uses(arm, knob.key, now) for other in earlier for knob in knobs[other])


def _run(
    trials: Sequence[Trial], base: Settings, now: Settings, params: Params, seeds: list[int], jobs: int
) -> dict[str, Score]:
    """Run the trials that are not recorded, record them, and return the scores of all."""
    record = read_record()
    left = {trial.cell.name: trial for trial in trials if trial.cell.name not in record}
    failed: set[str] = set()
    if left:
        known, _ = states()
        done = finished()
        new = [trial for name, trial in left.items() if name not in done and known.get(name) not in (*WAITING, FAILED)]
        failed = {name for name in left if name not in done and known.get(name) == FAILED}
        arms = ", ".join(dict.fromkeys(trial.arm for trial in trials))
        try:
            queue([_over(trial, base, now) for trial in new], now)
            if left.keys() - done.keys() - failed:
                start_workers(jobs)
                failed |= wait([name for name in left if name not in failed], arms)
        except KeyboardInterrupt as stop:
            raise UserError(
                "stopped waiting, but DVC's workers continue. 'fkt tune' waits for them again; 'dvc queue stop' ends "
                "them after their current trials; 'dvc queue remove --queued' empties the queue"
            ) from stop
        done = finished()
        for name, trial in left.items():
            if name in done:
                record[name] = read_score(trial, done[name], params.dataset, seeds)
        write_json(RECORD, recorded(record))
    return {**record, **{name: Score() for name in failed}}


def _over(trial: Trial, base: Settings, now: Settings) -> Trial:
    """Return a trial with all that differs from params.yaml, such as the winners of earlier arms."""
    changed = {key: value for key, value in base.items() if now[key] != value}
    cell = type(trial.cell)(trial.cell.name, {}, {**changed, **trial.cell.settings})
    return Trial(trial.arm, trial.number, trial.settings, cell)


def _announce(trials: dict[str, list[Trial]], record: dict[str, Score]) -> None:
    for arm, those in trials.items():
        for trial in those:
            known = "recorded" if trial.cell.name in record else "to run"
            print(
                f"{trial.cell.name} ({known}): " + ", ".join(f"{key} {value}" for key, value in trial.settings.items())
            )
        runs = len({trial.cell.name for trial in those if trial.cell.name not in record})
        print(f"{arm}: {len(those)} trials, {runs} of them to run, each with seeds {those[0].cell.settings['seeds']}")


def _write(
    outcomes: dict[str, Outcome], everything: Knobs, start: Settings, base: Settings, params: Params, seeds: list[int]
) -> None:
    """Write the winners and the entries of ``tuning`` into params.yaml; comments are kept."""
    from ruamel.yaml import YAML

    entries = [entry.model_dump() for entry in params.tuning if entry.arm not in outcomes]
    entries += [
        {
            "arm": arm,
            "trials": len(outcome.trials),
            "seeds": list(seeds),
            "start": {knob.key: start[knob.key] for knob in outcome.knobs},
            "settings": {knob.key: base[knob.key] for knob in everything[arm]},
            "conditions": dict(conditions_of(params)),
        }
        for arm, outcome in outcomes.items()
    ]
    round_trip = YAML()
    round_trip.representer.add_representer(float, _write_float)
    content: Any = round_trip.load(PARAMS_FILE.read_text(encoding="utf-8"))
    for outcome in outcomes.values():
        for key, value in outcome.chosen.settings.items():
            *path, last = key.split(".")
            section = content
            for part in path:
                section = section[part]
            if section[last] != value:
                section[last] = value
    content["tuning"] = entries
    stream = io.StringIO()
    round_trip.dump(content, stream)
    parse_params(parse_yaml(stream.getvalue(), str(PARAMS_FILE)))
    write_text(PARAMS_FILE, stream.getvalue())


def _write_float(representer: Any, value: float) -> Any:  # noqa: ANN401 - ruamel names no types here
    """Write 1e-05 as 1.0e-05, which every reader of YAML takes for a number."""
    text = repr(value)
    return representer.represent_scalar("tag:yaml.org,2002:float", text if "." in text else text.replace("e", ".0e"))
