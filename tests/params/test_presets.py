"""Presets: every one gives a valid experiment, whatever params.yaml was before."""

import re
import shutil
from pathlib import Path

import pytest
import torch
from dvc.utils.hydra import apply_overrides

from fkt.check import check_names
from fkt.cli.main import main
from fkt.core.errors import ParamsError
from fkt.data.meta import Meta
from fkt.params import load_params
from fkt.params.presets import apply_presets, available, flat, laid
from fkt.params.reader import parse_yaml
from fkt.views.pipeline import build_pipeline
from tests.conftest import ROOT

DATASETS = ["aptos", "cifar10", "digits", "fashion_mnist", "folder", "intel", "mnist"]
OVERLAYS = ["laptop", "paper", "px224", "smoke"]
DEFAULT = (ROOT / "params.yaml").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """params.yaml in a folder with the presets, in which the test runs."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "presets", "presets")
    return Path(shutil.copy(ROOT / "params.yaml", "params.yaml"))


def test_the_default_is_the_committed_params_file() -> None:
    """If this fails after an edit of params.yaml: cp params.yaml presets/base.yaml."""
    assert (ROOT / "presets" / "base.yaml").read_text(encoding="utf-8") == DEFAULT == laid(["digits"])


@pytest.mark.parametrize("overlays", [[], *([name] for name in OVERLAYS), ["paper", "smoke"]])
@pytest.mark.parametrize("dataset", DATASETS)
def test_every_preset_gives_an_experiment_with_comments_as_dvc_writes_it(
    params: Path, dataset: str, overlays: list[str]
) -> None:
    apply_presets([dataset, *overlays], check_names)
    text, laid_params = params.read_text(encoding="utf-8"), load_params(params)
    assert laid_params.dataset == dataset
    lost = set(re.findall("# .*", DEFAULT)) - set(re.findall("# .*", text))
    assert {comment.split(":")[0] for comment in lost} <= {
        "# digits",
        "# one training of every arm per seed; a seed fixes initial weights, labelled images, order, views",
    }, "only the comments on lists that the preset replaces"
    apply_overrides(params, [f"dataset={dataset}"])
    assert params.read_text(encoding="utf-8") == text, "DVC changes no other line"


@pytest.mark.parametrize("dataset", sorted(set(DATASETS) - {"digits"}))
def test_no_setting_that_was_tuned_for_the_default_is_left_in_another_preset(dataset: str) -> None:
    own = dict(flat(parse_yaml((ROOT / "presets" / f"{dataset}.yaml").read_text(encoding="utf-8"), dataset)))
    tuned = {key for entry in load_params(ROOT / "params.yaml").tuning for key in entry.settings}
    assert own["tuning"] == [] and tuned and tuned <= set(own)


@pytest.mark.parametrize("engine", ["batched", "albumentations"])
@pytest.mark.parametrize("dataset", DATASETS)
def test_both_engines_run_the_views_of_every_dataset(params: Path, dataset: str, engine: str) -> None:
    apply_presets([dataset], check_names)
    laid_params = load_params(params)
    size, channels = laid_params.prepare.image_size, laid_params.prepare.channels
    meta = Meta(dataset, ["a", "b"], size, channels, {}, [0.5] * channels, [0.25] * channels)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (3, channels, size, size), dtype=torch.uint8, generator=generator)
    for steps in (laid_params.augment.views, laid_params.augment.labelled):
        views = build_pipeline(steps, engine, meta)(images, 0, "preset")
        assert views.shape == images.shape and views.dtype == torch.float32
        assert torch.isfinite(views).all() and not torch.equal(views[0], views[1])


@pytest.mark.parametrize("before", [["cifar10", "paper", "smoke"], ["aptos"], ["laptop"]])
def test_the_result_does_not_depend_on_what_params_yaml_was(params: Path, before: list[str]) -> None:
    apply_presets(before, check_names)
    assert params.read_text(encoding="utf-8") != DEFAULT
    apply_presets(["digits"], check_names)
    assert params.read_text(encoding="utf-8") == DEFAULT


def test_overlays_change_their_keys_and_the_last_one_wins(params: Path) -> None:
    apply_presets(["cifar10", "paper"], check_names)
    paper = load_params(params)
    epochs = (paper.pretrain.epochs, paper.finetune.epochs, paper.joint.epochs, paper.supervised.epochs)
    assert epochs == (100, 100, 100, 300)
    assert 2 * 100 + 100 == 3 * 100 == paper.budget.passes
    assert (paper.model.backbone, paper.joint.batch_size, paper.ssl.simclr.temperature) == ("resnet50", 256, 0.5)
    assert (paper.dataset, paper.prepare.download, paper.evaluate.batch_size) == ("cifar10", True, 512)
    apply_presets(["cifar10", "paper", "smoke"], check_names)
    smoke = load_params(params)
    assert (smoke.joint.epochs, smoke.joint.batch_size, smoke.joint.learning_rate) == (None, 32, 0.025)


def test_the_bounds_of_an_overlay_lower_larger_values_alone(params: Path) -> None:
    found = {}
    for dataset in DATASETS:
        apply_presets([dataset, "laptop"], check_names)
        laid_params = load_params(params)
        found[dataset] = laid_params.prepare.image_size, laid_params.prepare.limit_per_class, laid_params.budget.passes
    assert found == {
        "aptos": (64, 300, 20), "cifar10": (32, 300, 20), "digits": (12, 300, 20), "folder": (64, 300, 20),
        "intel": (64, 300, 20), "fashion_mnist": (28, 300, 20), "mnist": (28, 300, 20),
    }  # fmt: skip
    Path("presets/few.yaml").write_text("# few\nprepare: {limit_per_class: 50}\nbudget: {passes: 4.5}\n")
    apply_presets(["aptos", "few", "laptop"], check_names)
    assert (load_params(params).prepare.limit_per_class, load_params(params).budget.passes) == (50, 4.5)


def test_a_value_keeps_its_comment_and_a_list_gets_the_comment_of_the_preset() -> None:
    Path("presets/base.yaml").write_text(
        "# top\n\na: 1        # of a\nb:\n  c:        # of c\n  # between\n  d:       # of d\n  - 1\n  - 2\n  f: 0\n\n"
        "e:          # of e\n- 1\nlast: x\n"
    )
    Path("presets/mine.yaml").write_text("# p\ne: [2, {k: v}]\nb: {c: 0.5, d: []}\na: 22  # new\n")
    Path("presets/more.yaml").write_text("# p\nb:\n  d:       # new list\n  - 3\n")
    expected = (
        "# top\n\na: 22       # of a\nb:\n  c: 0.5    # of c\n  # between\n  d:       # new list\n  - 3\n  f: 0\n\n"
        "e:          # of e\n- 2\n- k: v\nlast: x\n"
    )
    assert laid(["mine", "more"]) == expected


def test_the_command_prints_what_changes_key_by_key(params: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = load_params(params).ssl_weight
    views = parse_yaml(DEFAULT, "params.yaml")["augment"]["views"]  # type: ignore[index]
    views[0]["p"] = 0.9
    text = f"# mine\nlambda: 0.25\nseeds: [4, 5]\nlabels: {{per_class: }}\naugment: {{views: {views}}}\n"
    Path("presets/mine.yaml").write_text(text)
    main(["preset", "mine"])
    names = ", ".join(step["name"] for step in views)
    assert capsys.readouterr().out.splitlines() == [
        f"lambda: {before} -> 0.25",
        "seeds: [0, 1, 2, 3, 4, 5, 6, 7] -> [4, 5]",
        "labels.per_class: 2 -> null",
        f"augment.views: [{names}] -> other values",
    ]
    main(["preset", "mine"])
    assert capsys.readouterr().out == "params.yaml has these values already\n"


@pytest.mark.parametrize(
    ("names", "text", "message"),
    [
        (
            ["bad"],
            "model:\n  widht: 8\n",
            r"bad.yaml: params.yaml has no key 'model.widht'; did you mean 'model.width'",
        ),
        (["bad"], "labels: 5\n", "params.yaml has no key 'labels'"),
        (["bad"], "lambda: {x: 5}\n", "params.yaml has no key 'lambda'"),
        (["bad"], "model:\n  width: 4\n", "params.yaml with bad: model.width: 4 is out of range; give at least 16"),
        (
            ["bad"],
            "at_most: {prepare: {image_sizes: 8}}\n",
            "no key 'prepare.image_sizes'; did you mean",
        ),
        (["bad"], "lambda: 1\nlambda: 2\n", "bad.yaml: the key 'lambda' "),
        (["bad"], "dataset: cifar\n", "dataset: unknown dataset 'cifar'; choose from: .*did you mean 'cifar10'"),
        (["laptop", "bad"], "dataset: cifar10\n", "'bad' sets the dataset; give it first, and only one such preset"),
        (["cifar"], "", r"unknown preset 'cifar'; choose from: aptos, bad, cifar10, .*; did you mean 'cifar10'\?"),
        (["base"], "", "unknown preset 'base'"),
        (["../params"], "", "unknown preset '../params'"),
    ],
)
def test_a_mistake_is_reported_and_nothing_is_written(params: Path, names: list[str], text: str, message: str) -> None:
    Path("presets/bad.yaml").write_text(f"# bad\n{text}")
    with pytest.raises(ParamsError, match=message):
        apply_presets(names, check_names)
    assert params.read_text(encoding="utf-8") == DEFAULT
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["params.yaml", "presets"]


def test_the_presets_are_listed_with_a_description(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    main(["preset"])
    printed = capsys.readouterr().out
    assert sorted(available()) == sorted(DATASETS + OVERLAYS)
    assert all(len(line) > 20 and f"{name:<13} {line}\n" in printed for name, line in available().items())
    monkeypatch.chdir(tmp_path / "presets")
    with pytest.raises(SystemExit, match=r"error: there are no presets here \(presets/\*.yaml\); run from the project"):
        main(["preset"])
