"""metrics/predictions.csv: what every arm predicts for each test image, with the name of its file."""

import re
from collections.abc import Sequence

import pandas as pd

from fkt.core.files import one_line
from fkt.report.arms import Arm
from fkt.report.summary import DIGITS


def prediction_rows(arms: Sequence[Arm], classes: Sequence[str], names: Sequence[str]) -> pd.DataFrame:
    """Return one row for each test image, so that one line compares all arms.

    Columns: ``file``, the name on one line; ``id``, the row of images.npy and names.json; the ``actual`` class; and for
    each arm the class that is most probable on average over the seeds, its mean probability, and the number of seeds
    that are right. names: of all images, in the order of images.npy.
    """
    ids = arms[0].ids.tolist()
    shown = [spreadsheet_text(name, "'") for name in classes]
    table: dict[str, list[object]] = {
        "file": [spreadsheet_text(names[row], "./") for row in ids],
        "id": ids,
        "actual": [shown[label] for label in arms[0].labels.tolist()],
    }
    for arm in arms:
        mean = arm.probabilities.mean(axis=0, dtype="float64")
        table[f"{arm.mode}_predicted"] = [shown[label] for label in mean.argmax(axis=1).tolist()]
        table[f"{arm.mode}_probability"] = mean.max(axis=1).tolist()
        table[f"{arm.mode}_seeds_right"] = (arm.predicted == arm.labels).sum(axis=0).tolist()
    return pd.DataFrame(table).round(DIGITS)


def csv_text(table: pd.DataFrame) -> str:
    """Return a table as CSV, in which no name is a formula of a spreadsheet."""
    safe = table.map(lambda cell: spreadsheet_text(cell, "'") if isinstance(cell, str) else cell)
    text: str = safe.rename(columns=one_line).to_csv(index=False, lineterminator="\n")
    return text


def spreadsheet_text(name: str, prefix: str) -> str:
    """Return a name that no spreadsheet runs as a formula: one that begins like a formula gets a prefix.

    The prefix ``./`` leaves a path valid. Signed numbers stay.
    """
    text = one_line(name)
    return prefix + text if re.match(r"[=@]|[+-](?![0-9.]*$)", text) else text
