"""The door to the statistics of a comparison: intervals, exact tests, and what they say. Knows no room of ours."""

from fkt.report.comparison import Comparison, adjusted, compare, distinguished
from fkt.report.conclusions import conclusion
from fkt.report.intervals import mean_test, paired_bootstrap
from fkt.report.significance import exact_image_test, exact_seed_test, holm, smallest_p

__all__ = [
    "Comparison",
    "adjusted",
    "compare",
    "conclusion",
    "distinguished",
    "exact_image_test",
    "exact_seed_test",
    "holm",
    "mean_test",
    "paired_bootstrap",
    "smallest_p",
]
