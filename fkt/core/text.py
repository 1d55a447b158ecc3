"""Text from outside, such as file names and values of params.yaml, made safe for a terminal, and short."""

import re


def one_line(name: str) -> str:
    r"""Return a text on one line: control characters become ``\n``, bytes that are not UTF-8 ``\udcff``."""
    odd = r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
    return re.sub(odd, lambda found: found[0].encode("unicode_escape").decode("ascii"), name)


def abbreviated(line: str, limit: int) -> str:
    """Return a line of at most ``limit`` characters: of a longer one, two thirds and the end, which has the remedy."""
    return line if len(line) <= limit else f"{line[: 2 * limit // 3 - 5]} ... {line[-limit // 3 :]}"
