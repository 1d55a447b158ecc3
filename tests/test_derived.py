"""Plot templates, README and reference pages agree with the code; ``python -m tests.derived`` writes them."""

import json
import re
from pathlib import Path

import pytest

from fkt.core.arms import ARMS, MODES, NETWORKS, PALETTE
from fkt.params.presets import flat
from fkt.params.reader import read_yaml
from tests.conftest import ROOT
from tests.derived import MARKED, PAGES, README, TEMPLATES, arms_table, with_arms, with_palette
from tests.derived_pages import parameters

REMEDY = "run 'python -m tests.derived'"


def test_the_plot_templates_have_the_order_and_the_colors_of_the_arms() -> None:
    curves, confusion = (json.loads(path.read_text()) for path in TEMPLATES)
    rows = next(step["from"]["data"]["values"] for step in curves["transform"] if "lookup" in step)
    assert [(row["mode"], row["color"]) for row in rows] == list(PALETTE.items()), REMEDY
    assert [row["arm"] for row in rows] == sorted(row["arm"] for row in rows), "the legend sorts them as text"
    assert confusion["facet"]["column"]["sort"] == list(ARMS), REMEDY
    for path in TEMPLATES:
        assert with_palette(path.read_text()) == path.read_text()


def test_a_template_with_other_arms_is_rewritten_and_its_other_lists_are_kept() -> None:
    text = (
        '{"values": [\n  {"mode": "a", "arm": "0 a"},\n  {"mode": "b"}\n], "sort": ["b"], "scale": {"domain": [0, 1]}}'
    )
    found = json.loads(with_palette(text))
    assert found["sort"] == [row["mode"] for row in found["values"]] == list(ARMS)
    assert [row["color"] for row in found["values"]] == list(PALETTE.values())
    assert found["scale"]["domain"] == [0, 1]


def test_the_table_is_written_between_the_markers_only() -> None:
    text = "before\n<!-- arms -->\nan old table\n<!-- /arms -->\nafter\n"
    assert (
        with_arms(text) == f"before\n<!-- arms -->\n{arms_table()}<!-- /arms -->\nafter\n" == with_arms(with_arms(text))
    )
    assert with_arms("no markers") == "no markers"
    rows = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in arms_table().splitlines()[2:]]
    assert {row[0] for row in rows} == set(MODES)
    assert rows == [[name, NETWORKS[name].about, NETWORKS[name].stage] for name in (*ARMS, "pretrained")]


def test_the_readme_has_the_table_of_arms() -> None:
    found = MARKED.search(README.read_text(encoding="utf-8"))
    if found is None:
        pytest.skip("README.md has no <!-- arms --> markers")
    assert found.group() == arms_table(), REMEDY


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_reference_page_is_what_the_code_says(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == PAGES[path](), REMEDY


def test_every_key_of_the_default_is_explained_in_the_reference() -> None:
    page = parameters()
    explained = dict(re.findall(r"^- \*\*`(.*?)`\*\*.*: (.*)$", page, re.MULTILINE))
    assert not [name for name, text in explained.items() if len(text) < 6], "give each field a docstring"
    names = set(explained)
    assert len(names) > 150
    for key, value in flat(read_yaml(ROOT / "presets/base.yaml")):
        name = key if key in names else key.partition(".")[2]
        assert name in names, f"{key}: {value}"
