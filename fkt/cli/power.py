"""Say how many seeds show a difference of a given size, from the spreads of the last comparison or from given ones.

A spread is a standard deviation, in points, of the difference between two arms on one image with one seed. Without
--spread they are those of the contrasts in metrics/summary.json. If nothing was run yet, start from --spread 1 20 25.
"""

import argparse
import json
from typing import Any

from fkt.core.errors import UserError
from fkt.core.runs import METRICS

HELP = "say how many seeds show a difference of a given size"
SUMMARY = METRICS / "summary.json"
DIFFERENCES = (1, 2, 3, 5, 10)
"""In points."""
SEEDS = (5, 8, 12, 20, 50)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("--images", type=int, metavar="N", help="number of test images; needed with --spread")
    parser.add_argument(
        "--spread",
        type=float,
        nargs=3,
        metavar=("SEEDS", "IMAGES", "REST"),
        help="spread between seeds (over all images), between images (over all seeds), and the rest",
    )


def run(arguments: argparse.Namespace) -> None:
    """Print the seeds that differences need, and the differences that numbers of seeds tell.

    Raises UserError if there are neither spreads nor results, or if a number is not positive.
    """
    from fkt.params import load_params
    from fkt.report.statistics import Level, Spread, detectable, needed_seeds

    report = load_params().report
    level = Level(report.confidence, len(report.contrasts))
    given = arguments.spread and [*arguments.spread, arguments.images or 0]
    found = {"given": given} if given else _from_results(report.contrasts, arguments.images)
    for name, (*points, num_images) in found.items():
        if num_images < 1 or min(points) < 0:
            raise UserError("--images must be at least 1, and --spread at least 0")
        spread = Spread(*(value / 100 for value in points))
        between = " / ".join(f"{value:.1f}" for value in points)
        print(f"{name}: {num_images:,} test images; spread between seeds / between images / rest: {between} points")
        for size in DIFFERENCES:
            seeds = needed_seeds(spread, num_images, size / 100, level)
            print(f"  {size:3d} points: {f'{seeds} seeds' if seeds else 'too few test images for any number of seeds'}")
        smallest = (f"{100 * detectable(spread, count, num_images, level):.1f} ({count})" for count in SEEDS)
        print(f"  smallest difference in points (number of seeds): {', '.join(smallest)}")
    print(f"With a probability of 80 %; intervals of {level.contrasts} contrasts together at {level.confidence:.0%}.")


def _from_results(contrasts: list[str], images: int | None) -> dict[str, list[Any]]:
    """Return spreads in points and the number of test images of the contrasts in summary.json."""
    summary = json.loads(SUMMARY.read_text(encoding="utf-8")) if SUMMARY.is_file() else {}
    sections = {contrast: summary.get(contrast.replace(" - ", "_minus_"), {}) for contrast in contrasts}
    found = {
        contrast: [*(100 * section[f"std_{name}"] for name in ("seeds", "images", "rest")), images or section["images"]]
        for contrast, section in sections.items()
        if "std_seeds" in section
    }
    if not found:
        raise UserError(f"{SUMMARY} has none of {', '.join(contrasts)}; run 'dvc repro', or give --spread and --images")
    return found
