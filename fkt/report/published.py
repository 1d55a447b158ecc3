"""Published scores, which the report shows beside the user's: percent, mean and standard deviation of three runs."""

from typing import NamedTuple


class Row(NamedTuple):
    """One line of a published table."""

    arm: str
    network: str
    accuracy: str
    precision: str
    recall: str


SOURCE = "Functional Knowledge Transfer, arXiv:2304.01354, tables II and III"
PUBLISHED = {
    "cifar10": [
        Row("representational", "ResNet-50", "92.20 \u00b1 0.11", "92.18 \u00b1 0.10", "92.21 \u00b1 0.10"),
        Row("functional", "ResNet-50", "93.60 \u00b1 0.10", "93.62 \u00b1 0.13", "93.59 \u00b1 0.11"),
    ],
    "intel": [
        Row("representational", "ResNet-50", "93.18 \u00b1 0.15", "93.15 \u00b1 0.18", "93.17 \u00b1 0.20"),
        Row("functional", "ResNet-50", "93.70 \u00b1 0.13", "93.33 \u00b1 0.11", "93.31 \u00b1 0.11"),
        Row("representational", "ResNet-18", "78.28 \u00b1 0.14", "78.16 \u00b1 0.15", "78.19 \u00b1 0.18"),
        Row("functional", "ResNet-18", "78.52 \u00b1 0.13", "78.38 \u00b1 0.14", "78.43 \u00b1 0.12"),
    ],
    "aptos": [
        Row("representational", "ResNet-50", "83.10 \u00b1 0.10", "83.05 \u00b1 0.09", "83.05 \u00b1 0.12"),
        Row("functional", "ResNet-50", "83.32 \u00b1 0.11", "83.14 \u00b1 0.10", "83.04 \u00b1 0.10"),
    ],
}
"""By dataset. Batch size 256; see docs/comparison.md for what differs from the conditions here."""
