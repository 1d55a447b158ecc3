"""Stage raw: list the raw files, so that ``prepare`` runs again when they have changed.

DVC runs this stage every time, and prepare depends on what it writes. Usage: python -m stages.raw [DATASET]; default:
the item of the DVC stage, or ``dataset`` in params.yaml.
"""

import sys

from fkt.check import load_checked
from fkt.core.errors import reported
from fkt.core.runs import stage_item
from fkt.params import Params
from fkt.raw.listing import update


def main(params: Params, dataset: str | None = None) -> None:
    """Update the listing of a dataset, and say what has changed."""
    print(update(params, dataset or params.dataset))


if __name__ == "__main__":
    with reported():
        main(load_checked(), sys.argv[1] if sys.argv[1:] else stage_item())
