"""Numbers as they stand in a table: the only place of the sweeps where they are rounded."""

from __future__ import annotations

from fkt.report.tables import PLUS_MINUS
from fkt.sweeps.metrics import METRICS
from fkt.sweeps.values import Value


def written(value: Value, metric: str) -> str:
    """Return ``93.60 +- 0.10 (3)``: mean, deviation, number of seeds; or ``+1.40 [-0.20, +3.00]`` with an interval."""
    known = METRICS[metric]
    sign = "+" if known.signed else ""

    def number(one: float, sign: str = sign) -> str:
        return f"{known.scale * one:{sign},.{known.digits}f}"

    text = number(value.mean)
    if value.low is not None and value.high is not None:
        return f"{text} [{number(value.low)}, {number(value.high)}]"
    if value.std is not None and not (known.is_cost and value.std == 0):
        text += f" {PLUS_MINUS} {number(value.std, '')}"
    return f"{text} ({value.count})" if value.count is not None and not known.is_cost else text


def as_printed(text: str) -> str:
    """Return a published figure with its own digits."""
    return text.replace("+-", PLUS_MINUS)
