"""``python -m bench.level``: how often the verdict is wrong, and how often it finds a difference, by simulation.

Models of equal arms are simulated, with test images that differ in difficulty, images that suit one arm, and seeds that
differ. The table shows how often an experiment has a false difference among its contrasts (family-wise error), how
often an interval contains the true difference (coverage), and how often a true difference is found (power). An image is
classified correctly if the sum of normal effects is positive, so the true accuracies are known.
"""

import argparse
import itertools
import math

import numpy as np
from scipy import stats

from fkt.report.statistics import Level, compare

IMAGE_STD, TASTE_STD, NOISE_STD, SUBSET_STD = 1.2, 0.4, 1.0, 0.15
"""Standard deviation of the effects of an image, of an image for one arm, of one prediction, of a seed for all arms."""
SEED_STDS = (0.02, 0.1, 0.35)
"""Standard deviations of the effect of a seed for one arm: 0.3, 1.5 and 5 points of accuracy."""
BASE = 1.6
GAIN = 0.17
"""Effect of the last arm where it is better, about 2.5 points of accuracy."""


def draw(gains: list[float], seeds: int, images: int, seed_std: float, generator: np.random.Generator) -> np.ndarray:
    """Return which predictions are right: (arms, seeds, images), as 0 and 1."""

    def normal(std: float, *shape: int) -> np.ndarray:
        return std * generator.standard_normal(shape, dtype=np.float32)

    arms = len(gains)
    effect = BASE + np.asarray(gains, np.float32)[:, None, None] + normal(SUBSET_STD, 1, seeds, 1)
    effect = effect + normal(seed_std, arms, seeds, 1) + normal(IMAGE_STD, 1, 1, images)
    return (effect + normal(TASTE_STD, arms, 1, images) + normal(NOISE_STD, arms, seeds, images) > 0).astype(np.float64)


def accuracy(gain: float, seed_std: float) -> float:
    """Return the true accuracy of an arm."""
    spread = math.hypot(IMAGE_STD, TASTE_STD, NOISE_STD, SUBSET_STD, seed_std)
    return float(stats.norm.cdf((BASE + gain) / spread))


def cell(arms: int, seeds: int, images: int, seed_std: float, draws: int) -> dict[str, float]:
    """Return family-wise error, coverage and power of one design, in percent."""
    generator = np.random.default_rng(0)
    truth = accuracy(GAIN, seed_std) - accuracy(0.0, seed_std)
    # The contrasts of the default are the last arm minus two others; all pairs are the most that one can declare.
    default = [(arms - 1, other) for other in range(min(2, arms - 1))]
    every = list(itertools.combinations(range(arms), 2))
    counts = {"error": 0, "error of all pairs": 0, "not covered": 0, "found": 0}
    for _ in range(draws):
        equal = draw([0.0] * arms, seeds, images, seed_std, generator)
        for name, pairs in (("error", default), ("error of all pairs", every)):
            level = Level(0.95, len(pairs))
            found = [compare("", "", equal[a], equal[b], level) for a, b in pairs]
            counts[name] += any(one.low > 0 or one.high < 0 for one in found)
        better = draw([GAIN, 0.0], seeds, images, seed_std, generator)
        one, shared = (compare("", "", *better, Level(0.95, contrasts)) for contrasts in (1, len(default)))
        counts["not covered"] += not one.low <= truth <= one.high
        counts["found"] += shared.low > 0
    percent = {name: 100 * count / draws for name, count in counts.items()}
    return percent | {"coverage": 100 - percent["not covered"], "gain": 100 * truth}


def main() -> None:
    """Print a row for each design."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=2000)
    draws = parser.parse_args().draws
    print("| Arms | Seeds | Test images | Seed std | Error % | Error, all pairs % | Coverage % | Power % for points |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for images, seeds, seed_std, arms in itertools.product((359, 2000), (5, 8, 12), SEED_STDS, (2, 3, 4, 5)):
        found = cell(arms, seeds, images, seed_std, draws)
        print(
            f"| {arms} | {seeds} | {images} | {seed_std} | {found['error']:.1f} | {found['error of all pairs']:.1f} "
            f"| {found['coverage']:.1f} | {found['found']:.0f} for {found['gain']:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
