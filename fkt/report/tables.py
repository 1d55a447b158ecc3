"""Numbers and Markdown tables as text, aligned so that they can be read on a terminal too."""

from collections.abc import Sequence

from fkt.report.summary import Spread

PLUS_MINUS = "\u00b1"
ABSENT = "-"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table with padded columns, the first aligned to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join([cells[0].ljust(widths[0]), *map(str.rjust, cells[1:], widths[1:])])} |"

    rule = [f":{'-' * (widths[0] - 1)}", *(f"{'-' * (width - 1)}:" for width in widths[1:])]
    return "\n".join([line(header), line(rule), *map(line, rows)])


def percent(found: Spread | None) -> str:
    """Return a fraction in percent, with its standard deviation: ``92.20 +- 0.11``."""
    return scaled(found, 100, 2)


def scaled(found: Spread | None, scale: float, digits: int) -> str:
    """Return a mean and its standard deviation times ``scale``."""
    if found is None:
        return ABSENT
    deviation = "" if found.std is None else f" {PLUS_MINUS} {scale * found.std:.{digits}f}"
    return f"{scale * found.mean:.{digits}f}{deviation}"


def p_value(p: float) -> str:
    """Return a p-value with three decimals, or ``< 0.001``."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
