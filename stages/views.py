"""Stage views: draw the augmented views of some training images, for checking the augmentation by eye before training.

Usage: python -m stages.views
"""

from fkt.core.errors import reported
from fkt.core.runs import FIGURES, prepared_path
from fkt.data.originals import load_originals
from fkt.data.store import load_split
from fkt.params import Params, load_params
from fkt.sheet import draw_sheet, save_sheet
from fkt.views.geometry import Sampling
from fkt.views.object_crops import open_object_crops


def main(params: Params) -> None:
    """Write metrics/figures/views.png from training images."""
    prepared, augment, path = prepared_path(params.dataset), params.augment, FIGURES / "views.png"
    split = load_split(prepared, "train")
    # The examples show the effect of the masks whatever the share of images that training applies them to.
    crops = open_object_crops(prepared, augment.model_copy(update={"good_crops": 1.0}), seed=0)
    save_sheet(path, draw_sheet(split, augment, load_originals(prepared), crops))
    if crops is not None:
        print(crops.summary(Sampling(augment.views[:1], split.meta.image_size)))
    print(f"{path}: {params.dataset}, engine {augment.engine}")


if __name__ == "__main__":
    with reported():
        main(load_params())
