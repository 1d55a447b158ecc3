"""Writes what follows from the code: ``python -m tests.derived``.

The arms go into the templates of .dvc/plots/, and into README.md between the comments ``<!-- arms -->`` and
``<!-- /arms -->``; parameters and commands go into the reference pages of docs/.
"""

import json
import re
from pathlib import Path

from fkt.core.arms import ARMS, NETWORKS, PALETTE, PRETRAINED
from tests.derived_pages import commands, parameters

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
TEMPLATES = sorted((ROOT / ".dvc/plots").glob("*.json"))
PAGES = {ROOT / "docs" / "parameters.md": parameters, ROOT / "docs" / "commands.md": commands}
MARKED = re.compile(r"(?<=<!-- arms -->\n).*?(?=<!-- /arms -->)", flags=re.DOTALL)


def with_palette(template: str) -> str:
    """The text of a plot template with the names and the colors of the arms."""
    rows = [json.dumps({"mode": arm, "arm": f"{n} {arm}", "color": PALETTE[arm]}) for n, arm in enumerate(ARMS)]
    template = re.sub(r'( *)\{"mode": [^]]*\}', lambda found: ",\n".join(found[1] + row for row in rows), template)
    return re.sub(r'(?<="sort": )\["[^]]*\]', json.dumps(ARMS), template)


def arms_table() -> str:
    """The arms, and the mode that is not an arm, as a Markdown table: name, what it is, DVC stage."""
    networks = [NETWORKS[name] for name in (*ARMS, PRETRAINED)]
    rows = [f"| `{network.name}` | {network.about} | `{network.stage}` |" for network in networks]
    return "\n".join(["| Mode | What it is | DVC stage |", "| :--- | :--- | :--- |", *rows]) + "\n"


def with_arms(readme: str) -> str:
    """The text of README.md with the table of arms between its markers, if it has them."""
    return MARKED.sub(lambda _: arms_table(), readme)


if __name__ == "__main__":
    for path in TEMPLATES:
        path.write_text(with_palette(path.read_text(encoding="utf-8")), encoding="utf-8")
    README.write_text(with_arms(README.read_text(encoding="utf-8")), encoding="utf-8")
    for path, page in PAGES.items():
        path.write_text(page(), encoding="utf-8")
