"""Write the results of a sweep, and published ones, to metrics/tables/NAME.md and NAME.png."""

import argparse

from fkt.core.errors import UserError
from fkt.core.files import write_text
from fkt.core.runs import METRICS
from fkt.sweeps.experiments import FINISHED, read_experiments
from fkt.sweeps.spec import COSTS, load_sweep

HELP = "write a table and a figure of a sweep's results"
TABLES = METRICS / "tables"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("name", metavar="NAME", help="a sweep; 'fkt sweep' lists them")
    parser.add_argument("--rev", default="HEAD", metavar="COMMIT", help="commit that the experiments start from (HEAD)")


def run(arguments: argparse.Namespace) -> None:
    """Write and print the page, and draw its figure. Raise UserError if no experiment has finished."""
    name = arguments.name
    sweep = load_sweep(name)
    cells, known = sweep.cells(), read_experiments(arguments.rev)
    found, waiting = {}, []
    for cell in cells:
        one = known.get(cell.name)
        if one is None:
            waiting.append(f"{cell.name} (missing)")
        elif wrong := one.differences(cell.settings):
            waiting.append(f"{cell.name} (left out, because {wrong}; remove it with 'dvc exp remove {cell.name}')")
        else:
            found[cell.name] = one
            waiting += [f"{cell.name} ({one.state})"] if one.state != FINISHED else []
    notes = (
        f"{len(waiting)} of {len(cells)} experiments have no results: {', '.join(waiting)}. "
        f"'fkt sweep {name}' queues those that are missing or have failed; 'dvc queue logs' says why one has failed."
    )
    if len(waiting) == len(cells):
        raise UserError(
            f"nothing to gather. {notes}\n       If they start from another commit (see 'dvc exp list --all-commits'): "
            f"fkt gather {name} --rev COMMIT"
        )

    from fkt.sweeps.page import add_costs, draw, page, results, section

    if any(set(table.metrics) & set(COSTS) for table in sweep.tables):
        for one in found.values():
            if one.state == FINISHED:
                add_costs(one)
    tables = [(table, *results(table, cells, found)) for table in sweep.tables]
    text = page(sweep, cells, found, [section(*table) for table in tables], notes if waiting else "")
    if draw(sweep, [frame for _, frame, _ in tables], TABLES / f"{name}.png"):
        text += f"\n![{sweep.title}]({name}.png)\n"
    write_text(TABLES / f"{name}.md", text)
    print(f"{text}\nwritten: {TABLES / name}.md")
