"""metrics/tables/NAME.md: the tables of a sweep, what they answer, and what a reader must know of their making."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fkt.core.arms import NETWORKS, chain
from fkt.report.tables import markdown_table
from fkt.sweeps.answers import answers
from fkt.sweeps.equality import same
from fkt.sweeps.grid import Grid
from fkt.sweeps.matching import Gathered, differences
from fkt.sweeps.spec import Sweep
from fkt.sweeps.tables import caption, grid_table, source_notes

CONDITIONS = (
    "dataset", "prepare.image_size", "prepare.limit_per_class", "labels.per_class", "labels.fraction", "selection",
    "model.backbone", "model.width", "model.weights", "ssl.method", "lambda", "budget.passes", "seeds",
)  # fmt: skip
"""Parameters that tell a reader what our numbers are of."""
UNSAID = {
    "prepare.masks": "none", "augment.object_share": 0.0, "augment.good_crops": 1.0, "ssl.label_fraction": 0.0,
    "ssl.rotation_weight": 0.0, "cross_entropy.class_weights": "none", "joint.balance": "fixed", "joint.ce_on": "image",
}  # fmt: skip
"""Parameters that are told where they have another value than this, with which they do nothing."""
OF_TRAINING = {"epochs": None, "batch_size": 0}
"""The same, of the section of each training run."""
LONGEST = 60
"""Characters of a value that is shown; a list of views is longer."""


def render(sweep: Sweep, grids: Sequence[Grid], gathered: Gathered, *, has_figure: bool) -> str:
    """Return the whole page as Markdown."""
    sections = [
        f"# {sweep.title}",
        sweep.question,
        _warnings(gathered),
        *(_section(grid, sweep, gathered) for grid in grids),
        f"![{sweep.title}]({sweep.name}.png)" if has_figure else "",
        _conditions(gathered),
        _remarks(sweep),
        _missing(sweep, gathered),
        _experiments(gathered),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _section(grid: Grid, sweep: Sweep, gathered: Gathered) -> str:
    said = "\n".join(f"- {line}" for line in answers(grid.table, sweep.axes, gathered))
    parts = [f"## {grid.table.title}", caption(grid), grid_table(grid), said, *source_notes(grid)]
    return "\n\n".join(part for part in parts if part)


def _warnings(gathered: Gathered) -> str:
    """Say what our numbers may differ by beside the sweep's own settings."""
    lines = []
    for key, groups in differences(gathered).items():
        values = "; ".join(f"{_short(value)} in {_cells(cells, gathered)}" for value, cells in groups)
        lines.append(f"- `{key}`: {values}")
    commits = sorted({experiment.commit[:7] for experiment in gathered.found.values() if experiment.commit})
    if len(commits) > 1:
        lines.append(f"- they start from {len(commits)} commits ({', '.join(commits)}), whose code may differ")
    if not lines:
        return ""
    return (
        "**These experiments differ in more than the sweep's settings, so that a difference may be due to either.** "
        "Run the sweep again to have them alike.\n\n" + "\n".join(lines)
    )


def _cells(cells: Sequence[str], gathered: Gathered) -> str:
    total = len(gathered.found)
    return f"{len(cells)} of {total} experiments" if len(cells) > 3 else ", ".join(f"({cell})" for cell in cells)


def _short(value: object) -> str:
    text = "null" if value is None else str(value)
    return text if len(text) <= LONGEST else "another list"


def _conditions(gathered: Gathered) -> str:
    """Say what all of our experiments share."""
    experiments = list(gathered.found.values())
    different = set(differences(gathered))
    if not experiments:
        return ""
    params = experiments[0].params
    modes = [mode for mode in params.get("modes", []) if mode in NETWORKS]
    sections = dict.fromkeys(network.section for mode in modes for network in chain(mode))
    unsaid = UNSAID | {f"{section}.{key}": value for section in sections for key, value in OF_TRAINING.items()}
    keys = [*CONDITIONS, *(key for key, value in unsaid.items() if not same(params.get(key, value), value))]
    swept = {key for key in keys if len({repr(cell.settings.get(key)) for cell in gathered.cells}) > 1}
    lines = [f"- {key}: {_short(params[key])}" for key in keys if key in params and key not in different | swept]
    return "\n\n".join(["## Conditions of ours", "\n".join(lines)]) if lines else ""


def _remarks(sweep: Sweep) -> str:
    return "## Remarks\n\n" + "\n".join(f"- {remark}" for remark in sweep.remarks) if sweep.remarks else ""


def _missing(sweep: Sweep, gathered: Gathered) -> str:
    lines = [f"- {gathered.cells[at]}{_state(gathered.waiting, at)}" for at in gathered.missing]
    lines += [f"- left out: {refused}" for refused in gathered.refused]
    if not lines:
        return ""
    return (
        f"## Missing: {len(gathered.missing)} of {len(gathered.cells)} experiments\n\n"
        + "\n".join(lines)
        + f"\n\n`fkt sweep {sweep.name}` queues what is missing under the params.yaml of the moment."
    )


def _state(waiting: Mapping[int, str], at: int) -> str:
    if at not in waiting:
        return ""
    why = " (`dvc queue logs` with this name says why)" if waiting[at].startswith("failed") else ""
    return f": {waiting[at]}{why}"


def _experiments(gathered: Gathered) -> str:
    """Say where each number comes from."""
    rows = [
        [str(gathered.cells[at]), experiment.name, (experiment.commit or "folder")[:7], experiment.made]
        for at, experiment in sorted(gathered.found.items())
    ]
    if not rows:
        return ""
    more = f"\n\nOthers with the very same parameters, left out: {gathered.repeated}." if gathered.repeated else ""
    return "## Experiments\n\n" + markdown_table(["Settings", "Experiment", "Commit", "Made"], rows) + more
