"""Stage raw: list the raw files, so that ``prepare`` runs again when they have changed.

DVC runs this stage every time, and prepare depends on what it writes. Usage: python -m stages.raw [DATASET]; default:
``dataset`` in params.yaml.
"""

import sys

from fkt.core.errors import reported
from fkt.params import Params, load_params
from fkt.raw.listing import update


def main(params: Params, dataset: str | None = None) -> None:
    """Update the listing of a dataset, and say what has changed."""
    print(update(params, dataset or params.dataset))


if __name__ == "__main__":
    with reported():
        main(load_params(), *sys.argv[1:2])
