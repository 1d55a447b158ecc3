"""Values in the syntax of ``dvc exp run -S``, which is Hydra's."""

from __future__ import annotations

import re

from fkt.core.errors import ParamsError

_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BEFORE_QUOTE = re.compile(r"(\\*)('|$)")
"""Backslashes before a quote, or before the one that ends the text: elsewhere a backslash stands for itself."""
_WORDS = ("null", "true", "false", "nan", "inf")
"""What Hydra takes for something else than text, in upper and lower case."""


def override(key: str, value: object) -> str:
    """Return ``key=value`` for ``-S``. Raises ParamsError for a value that DVC cannot write to params.yaml."""
    return f"{key}={in_hydra(value)}"


def in_hydra(value: object) -> str:
    """Write null, true, numbers, text, lists and mappings so that Hydra reads back the same value."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        shown = repr(value)
        if "." not in shown:  # DVC writes it the same way
            raise ParamsError(
                f"{value!r}: DVC would write it as {shown}, which YAML reads as text; choose a number with other digits"
            )
        return shown
    if isinstance(value, str):
        if _BARE.fullmatch(value) and value.lower() not in _WORDS:
            return value
        return f"'{_BEFORE_QUOTE.sub(_escaped, value)}'"
    if isinstance(value, list):
        return f"[{','.join(map(in_hydra, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}:{in_hydra(item)}' for key, item in value.items())}}}"
    raise TypeError(f"params.yaml holds no {type(value).__name__}")


def _escaped(found: re.Match[str]) -> str:
    backslashes, quote = found.groups()
    return backslashes * 2 + ("\\'" if quote else "")
