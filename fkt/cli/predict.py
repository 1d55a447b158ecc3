"""``fkt predict MODEL IMAGE...``: classify image files with a trained model."""

import argparse
from pathlib import Path
from typing import Any


def add_parser(commands: Any) -> None:  # noqa: ANN401 - argparse names no public type
    """Add the command to the parser of ``fkt``."""
    parser = commands.add_parser("predict", help="classify image files with a trained model", description=__doc__)
    parser.add_argument("model", type=Path, metavar="MODEL", help="folder of a model, such as models/functional/s0")
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print, for each image, the two most probable classes and their probabilities."""
    from fkt.evaluation.classify import classify

    classes, probabilities = classify(arguments.model, arguments.images)
    for path, row in zip(arguments.images, probabilities, strict=True):
        (first, second), (a, b) = row.topk(2)[0].tolist(), row.topk(2)[1].tolist()
        print(f"{path}: {classes[a]} ({100 * first:.1f} %), then {classes[b]} ({100 * second:.1f} %)")
