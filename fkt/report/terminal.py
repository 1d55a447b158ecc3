"""What the terminal shows of metrics/report.md. Imports no library."""

import re
import textwrap

from fkt.core.runs import METRICS

PAGE = METRICS / "report.html"
LINE_WIDTH = 100
"""Characters in a line of the terminal."""


def shown(text: str) -> str:
    """Return the beginning of report.md, with the verdict, and its first table, the scores."""
    beginning, _, rest = text.partition(f"\n`{PAGE}`")
    lines = re.sub(r"^# |\*\*|`|\\(?=[\W_])", "", beginning, flags=re.MULTILINE).strip().splitlines()
    filled = [textwrap.fill(line, LINE_WIDTH, subsequent_indent="  " * line.startswith("-")) for line in lines]
    table = re.search(r"(?:^\|.*\n)+", rest, re.MULTILINE)
    return "\n".join([*filled, "", table[0].rstrip() if table else ""])
