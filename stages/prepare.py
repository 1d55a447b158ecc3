"""Stage prepare: raw data become uint8 arrays with train, val and test splits.

Usage: python -m stages.prepare [DATASET]; default: the item of the DVC stage, or ``dataset`` in params.yaml.
"""

import sys

from fkt.check import load_checked
from fkt.core.errors import reported
from fkt.core.runs import prepared_path, stage_item, transfer_prepared_path
from fkt.params import Params
from fkt.raw.notes import class_table, printed_notes, split_rows
from fkt.raw.prepare import prepare


def main(params: Params, dataset: str | None = None) -> None:
    """Prepare a dataset, and print a summary.

    A dataset of transfer.datasets is read from data/raw/<dataset>, without masks, because it is only probed, and
    without the settings that are about the files of params.dataset.
    """
    name, settings = dataset or params.dataset, params.prepare
    target = prepared_path(name)
    if name != params.dataset:
        target = transfer_prepared_path(name)
        own = {"source": None, "masks": "none", "table": None, "groups": None, "val_as_test": False}
        settings = settings.model_copy(update=own)
    meta = prepare(name, settings, target)
    for part, text in split_rows(meta):
        print(f"{part}: {text}")
    for line in printed_notes(meta):
        print(f"note: {line}")
    print(class_table(meta))
    print(f"{target}: {meta.num_classes} classes, {meta.image_size} x {meta.image_size} x {meta.channels}")


if __name__ == "__main__":
    with reported():
        main(load_checked(), sys.argv[1] if sys.argv[1:] else stage_item())
