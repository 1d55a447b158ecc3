"""The door to the statistics of a comparison: intervals, exact tests, and what they say. Knows no room of ours."""

from fkt.evaluation.comparison import Comparison, compare, distinguished
from fkt.evaluation.conclusions import conclusion
from fkt.evaluation.intervals import mean_std, paired_bootstrap
from fkt.evaluation.significance import exact_image_test, exact_seed_test, holm, smallest_p

__all__ = [
    "Comparison",
    "compare",
    "conclusion",
    "distinguished",
    "exact_image_test",
    "exact_seed_test",
    "holm",
    "mean_std",
    "paired_bootstrap",
    "smallest_p",
]
