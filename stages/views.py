"""Stage views: draw what the view pipelines make of training images, to judge them by eye before any training.

Usage: python -m stages.views
"""

from __future__ import annotations

from fkt.core.errors import reported
from fkt.core.runs import FIGURES, prepared_path
from fkt.data.store import load_split
from fkt.params import Params, load_params
from fkt.sheet import crops_line, draw_sheet, save_sheet


def main(params: Params) -> None:
    """Write metrics/figures/views.png from the training images alone."""
    judges = params.augment.object_share > 0
    split = load_split(prepared_path(params.dataset), "train", with_masks=judges)
    path = FIGURES / "views.png"
    save_sheet(path, draw_sheet(split, params.augment))
    if judges:
        print(crops_line(split, params.augment))
    print(f"{path}: {params.dataset}, engine {params.augment.engine}")


if __name__ == "__main__":
    with reported():
        main(load_params())
