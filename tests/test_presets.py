"""Presets: every one describes an experiment, and laying one over params.yaml moves nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from fkt.cli.main import main
from fkt.core.errors import ParamsError
from fkt.data.meta import Meta
from fkt.params import load_params
from fkt.presets import apply_presets, available, merged
from fkt.views.pipeline import build_pipeline

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "presets"
DATASETS = ["aptos", "cifar10", "digits", "folder", "intel"]
OVERLAYS = ["laptop", "paper", "smoke"]


@pytest.fixture
def params(tmp_path: Path) -> Path:
    return Path(shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml"))


def content(path: Path) -> dict[str, object]:
    loaded = yaml.safe_load(path.read_text())
    assert isinstance(loaded, dict)
    return loaded


def keys_of(node: object, prefix: str = "") -> set[str]:
    if not isinstance(node, dict):
        return {prefix}
    return {key for name, value in node.items() for key in keys_of(value, f"{prefix}.{name}")}


def value_at(node: object, key: str) -> object:
    for part in key.strip(".").split("."):
        assert isinstance(node, dict)
        node = node[part]
    return node


def outline(text: str) -> list[str]:
    """Comments and keys outside of lists, in order: what a preset must not move."""
    return [line.strip() for line in text.split("\n") if line.startswith("#") or (":" in line and "- " not in line)]


def test_the_presets_are_those_that_are_tested() -> None:
    assert sorted(available(FOLDER)) == sorted(DATASETS + OVERLAYS)


@pytest.mark.parametrize("overlay", [None, *OVERLAYS])
@pytest.mark.parametrize("dataset", DATASETS)
def test_every_preset_gives_a_valid_experiment_with_its_own_values(
    params: Path, dataset: str, overlay: str | None
) -> None:
    names = [dataset, *([overlay] if overlay else [])]
    apply_presets(names, params, FOLDER)
    load_params(params)
    laid, last = content(params), content(FOLDER / f"{names[-1]}.yaml")
    assert value_at(laid, "dataset") == dataset
    assert {key: value_at(laid, key) for key in keys_of(last)} == {key: value_at(last, key) for key in keys_of(last)}


@pytest.mark.parametrize("engine", ["batched", "albumentations"])
@pytest.mark.parametrize("dataset", DATASETS)
def test_both_engines_execute_the_views_of_every_preset(params: Path, dataset: str, engine: str) -> None:
    apply_presets([dataset], params, FOLDER)
    laid = load_params(params)
    size, channels = laid.prepare.image_size, laid.prepare.channels
    meta = Meta(dataset, ["a", "b"], size, channels, {}, [0.5] * channels, [0.25] * channels)
    images = torch.randint(
        0, 256, (3, channels, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    for steps in (laid.augment.views, laid.augment.labelled):
        views = build_pipeline(steps, engine, meta)(images, 0, "preset")
        assert views.shape == images.shape and views.dtype == torch.float32
        assert torch.isfinite(views).all() and not torch.equal(views[0], views[1])


@pytest.mark.parametrize("names", [[name] for name in DATASETS + OVERLAYS] + [["cifar10", "paper", "smoke"]])
def test_the_digits_preset_is_the_way_back_from_every_other(params: Path, names: list[str]) -> None:
    apply_presets(names, params, FOLDER)
    apply_presets(["digits"], params, FOLDER)
    assert content(params) == content(ROOT / "params.yaml")


def test_presets_of_datasets_set_the_same_keys() -> None:
    keys = {name: keys_of(content(FOLDER / f"{name}.yaml")) for name in DATASETS}
    assert all(keys[name] == keys["digits"] for name in DATASETS)


def test_the_paper_preset_gives_every_arm_the_same_number_of_passes(params: Path) -> None:
    apply_presets(["paper"], params, FOLDER)
    paper = load_params(params)
    epochs = (paper.pretrain.epochs, paper.finetune.epochs, paper.joint.epochs, paper.supervised.epochs)
    assert epochs == (100, 100, 100, 300)
    assert 2 * 100 + 100 == 3 * 100 == 300 == paper.budget.passes
    assert (paper.model.backbone, paper.joint.batch_size, paper.ssl.simclr.temperature) == ("resnet50", 256, 0.5)


def test_keys_and_comments_outside_of_lists_stay_where_they_are(params: Path, tmp_path: Path) -> None:
    text = (
        "# top\n\na: 1        # of a\nb:\n  c: null  # of c\n  # between\n  d:       # of d\n    - 1\n    - 2\n\ne: x\n"
    )
    preset = tmp_path / "p.yaml"
    preset.write_text("# p\ne: y\nb:\n  c: 0.5\n  d:   # new\n    - 3\na: 2\n")
    expected = "# top\n\na: 2        # of a\nb:\n  c: 0.5  # of c\n  # between\n  d:   # new\n    - 3\n\ne: y\n"
    assert merged(text, "params.yaml", preset) == expected


def test_lists_that_dvc_has_rewritten_and_emptied_values_are_replaced_as_well(tmp_path: Path) -> None:
    text = "seeds:   # old\n- 0\n- 1\nsource:      # of source\nflow: [1, 2]  # old\nlast:\n- name: A\n  p: 1.0"
    preset = tmp_path / "p.yaml"
    preset.write_text(
        "# p\nseeds:\n  - 7\nsource: here\nflow:\n  - 3\nlast:\n  - name: B\n    range:\n      - 1\n      - 2\n"
    )
    laid = merged(text, "params.yaml", preset)
    assert yaml.safe_load(laid) == {
        "seeds": [7],
        "source": "here",
        "flow": [3],
        "last": [{"name": "B", "range": [1, 2]}],
    }
    assert "# of source" in laid and "# old" not in laid


def test_a_section_indented_otherwise_takes_lists_at_its_own_depth(tmp_path: Path) -> None:
    preset = tmp_path / "p.yaml"
    preset.write_text("a:\n  b:\n    - 1\n    - 2\n")
    assert yaml.safe_load(merged("a:\n      b:\n        - 0\n      c: 1\n", "params.yaml", preset)) == {
        "a": {"b": [1, 2], "c": 1}
    }
    preset.write_text("a:\n      b:\n        - 1\n        - 2\n")
    assert yaml.safe_load(merged("a:\n  b:\n  - 0\n  c: 1\n", "params.yaml", preset)) == {"a": {"b": [1, 2], "c": 1}}


def test_a_value_that_is_there_already_leaves_the_text_alone(params: Path) -> None:
    before = params.read_bytes()
    assert apply_presets(["digits"], params, FOLDER) == []
    assert params.read_bytes() == before


def test_what_changed_is_told_key_by_key(params: Path, tmp_path: Path) -> None:
    folder = tmp_path / "presets"
    folder.mkdir()
    shipped = content(params)
    views = shipped["augment"]["views"]
    views[0]["p"] = 0.9
    overlay = {"lambda": 0.25, "seeds": [4, 5], "labels": {"per_class": None}, "augment": {"views": views}}
    (folder / "mine.yaml").write_text("# mine\n" + yaml.safe_dump(overlay, sort_keys=False))
    assert apply_presets(["mine"], params, folder) == [
        f"lambda: {shipped['lambda']} -> 0.25",
        f"seeds: {shipped['seeds']} -> [4, 5]",
        f"labels.per_class: {shipped['labels']['per_class']} -> null",
        f"augment.views: [{', '.join(step['name'] for step in views)}] -> other values",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# p\nmodel:\n  widht: 8\n", r"no key 'model.widht'; did you mean 'model.width'\?"),
        ("# p\nmodel:\n  width: 4\n", r"params.yaml with bad: model.width: 4 is out of range; give at least 16"),
        ("# p\nlambda: 1\nlambda: 2\n", "the key 'lambda' stands twice"),
        ("# p\n", "holds no keys"),
        ("# p\nlabels: 5\n", "no key 'labels'"),
    ],
)
def test_a_preset_that_describes_no_experiment_is_refused_and_nothing_is_written(
    params: Path, tmp_path: Path, text: str, message: str
) -> None:
    folder = tmp_path / "presets"
    folder.mkdir()
    (folder / "bad.yaml").write_text(text)
    before = params.read_bytes()
    with pytest.raises(ParamsError, match=message):
        apply_presets(["bad"], params, folder)
    assert params.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["params.yaml"]


def test_an_unknown_name_is_refused_with_those_that_exist(params: Path) -> None:
    with pytest.raises(
        ParamsError, match=r"unknown preset 'cifar'; choose from: aptos, cifar10, .*did you mean 'cifar10'"
    ):
        apply_presets(["cifar"], params, FOLDER)
    with pytest.raises(ParamsError, match="unknown preset '../params'"):
        apply_presets(["../params"], params, FOLDER)


def test_without_a_name_the_presets_are_listed_with_a_line_each(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    main(["preset"])
    printed = capsys.readouterr().out
    for name in DATASETS + OVERLAYS:
        first = (FOLDER / f"{name}.yaml").read_text().split("\n")[0]
        assert first.startswith("# ") and len(first) > 20
        assert f"{name:<10} {first[2:]}" in printed


def test_the_command_ends_with_one_line_and_no_traceback_for_an_unknown_name() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fkt", "preset", "nosuch"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: unknown preset 'nosuch'; choose from: ") and done.stderr.count("\n") == 1
