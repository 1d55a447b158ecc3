"""metrics/predictions.csv against the stored probabilities, and what reads it."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fkt.core.runs import Run, prepared_path
from fkt.params import Params
from stages.report import main
from tests.report.fabricated import ARMS, NAMES, fabricate

TABLE = Path("metrics/predictions.csv")


def test_each_line_is_a_test_image_with_the_mean_prediction_of_each_arm(params: Params, numbers_only: None) -> None:
    main(params)
    written = TABLE.read_bytes()
    main(params)
    assert TABLE.read_bytes() == written
    table = pd.read_csv(TABLE)
    assert table.columns[:3].tolist() == ["file", "id", "actual"] and len(table) == 120
    assert (table["file"] == [f"test {row}" for row in range(1000, 1120)]).all()
    for arm in ARMS:
        stored = [dict(np.load(Run("digits", arm, seed).predictions)) for seed in params.seeds]
        for number, row in table.iterrows():
            each = [list(one["probabilities"][number]) for one in stored]
            mean = [sum(column) / len(each) for column in zip(*each, strict=True)]
            label = stored[0]["labels"][number]
            assert (row["actual"], row[f"{arm}_predicted"]) == (NAMES[label], NAMES[mean.index(max(mean))])
            assert row[f"{arm}_probability"] == pytest.approx(max(mean), abs=1e-5)
            assert row[f"{arm}_seeds_right"] == sum(one.index(max(one)) == label for one in each)


def test_no_name_breaks_the_table_or_is_a_formula(params: Params, numbers_only: None) -> None:
    classes = ["=cmd|' /C calc'!A0", "-1", '@SUM(1,"2")', "gr\u00fcn"]
    fabricate(params, num_test=120, names=classes)
    odd = [
        "=1+1.png",
        "+a/b.png",
        "-2;x.png",
        'a,"b".png',
        "two\r\nlines\x1b[31m\u2028.png",
        "\udcff.png",
        "\u732b.png",
    ]
    names = ["x"] * 1000 + odd + [f"a/{number}.png" for number in range(113)]
    (prepared_path("digits") / "names.json").write_text(json.dumps(names))
    main(params)
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(TABLE.read_text(encoding="utf-8").splitlines()) - 1 == 120
    assert [row["file"] for row in rows[:7]] == [
        *("./=1+1.png", "./+a/b.png", "./-2;x.png", 'a,"b".png'),
        *("two\\r\\nlines\\x1b[31m\\u2028.png", "\\udcff.png", "\u732b.png"),
    ]
    assert {row["actual"] for row in rows} == {"'=cmd|' /C calc'!A0", "-1", '\'@SUM(1,"2")', "gr\u00fcn"}
    for row in rows:
        assert not any(re.match(r"[=+@\t\r]|-(?!1$)", cell) for cell in row.values())
