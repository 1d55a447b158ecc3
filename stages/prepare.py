"""Prepare: raw data become uint8 arrays with train, val and test splits.

Usage: python -m stages.prepare [DATASET], by default the one that params.yaml is about.
"""

import sys

from fkt.core.errors import reported
from fkt.core.runs import prepared_path, transfer_prepared_path
from fkt.params import Params, load_params
from fkt.raw.prepare import prepare
from fkt.raw.summary import class_table, remarks


def main(params: Params, dataset: str | None = None) -> None:
    """Prepare a dataset, and print what came of it.

    A dataset of transfer, which is only probed, has no masks, and is not where prepare.source says.
    """
    name, settings = dataset or params.dataset, params.prepare
    target = prepared_path(name)
    if name != params.dataset:
        target = transfer_prepared_path(name)
        settings = settings.model_copy(update={"source": None, "masks": "none"})
    meta = prepare(name, settings, target)
    for line in remarks(meta):
        print(f"note: {line}")
    print(class_table(meta))
    print(f"{target}: {meta.num_classes} classes, {meta.image_size} x {meta.image_size} x {meta.channels}")


if __name__ == "__main__":
    with reported():
        main(load_params(), *sys.argv[1:2])
