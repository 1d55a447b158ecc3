"""Prepare: the raw dataset becomes uint8 arrays with train, val and test splits (``python -m stages.prepare``)."""

from fkt.errors import reported
from fkt.params import Params, load_params
from fkt.raw.prepare import prepare
from fkt.raw.summary import class_table, remarks
from fkt.runs import prepared_path


def main(params: Params) -> None:
    """Prepare the dataset that params.yaml names, and print what came of it."""
    target = prepared_path(params.dataset)
    meta = prepare(params.dataset, params.prepare, target)
    for line in remarks(meta):
        print(f"note: {line}")
    print(class_table(meta))
    print(f"{target}: {meta.num_classes} classes, {meta.image_size} x {meta.image_size} x {meta.channels}")


if __name__ == "__main__":
    with reported():
        main(load_params())
