"""The pipeline as its user runs it: dvc repro, an experiment on lambda, an edit, a mistake."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fkt.params import load_params
from tests import fakes
from tests.conftest import ROOT, Project

FUNCTIONAL = {"joint@0", "evaluate@functional", "cam@functional", "report"}
LAMBDA = load_params(ROOT / "params.yaml").ssl_weight
MODES = ("pretrained", "supervised", "representational", "functional")


def ran(output: str) -> set[str]:
    """Stages whose command did something: not those that were skipped, nor the first two, which always look anew."""
    found = re.findall(r"^Running stage '(.+)':\n> .*\n(.*)", output, re.MULTILINE)
    return {name for name, said in found if "skipped" not in said} - {"plan", "raw@digits", "raw@folder"}


def put_back(project: Project) -> None:
    """Return to the finished comparison."""
    project.run("git", "checkout", "--quiet", "HEAD", ".")
    project.dvc("checkout", "--force", "--quiet")


def replace(project: Project, name: str, before: str, after: str) -> None:
    """Edit one place in a file of the project."""
    path = project.root / name
    text = path.read_text()
    assert text.count(before) == 1, f"{name}: '{before}' stands {text.count(before)} times"
    path.write_text(text.replace(before, after))


@pytest.fixture(scope="module")
def finished(project_factory: Callable[[], Project]) -> Project:
    """The smallest comparison, run and committed."""
    project = project_factory()
    project.python("fkt", "preset", "digits", "smoke")
    project.dvc("repro")
    project.commit("smoke")
    return project


def test_the_pipeline_runs_from_nothing_and_then_has_nothing_to_do(finished: Project) -> None:
    summary = json.loads((finished.root / "metrics/summary.json").read_text())
    assert set(MODES) <= set(summary)
    assert ran(finished.dvc("repro").stdout) == set()
    assert finished.run("git", "status", "--porcelain").stdout == "", "DVC adds nothing of its own to git"


def test_lambda_trains_the_joint_runs_alone_and_going_back_trains_nothing(finished: Project) -> None:
    done = finished.dvc("exp", "run", "-S", "lambda=0.5")
    assert ran(done.stdout) == FUNCTIONAL
    changed = json.loads(finished.dvc("metrics", "diff", "--json").stdout)
    assert list(changed["metrics/validation.json"]) == ["val.functional"], "the scores to choose by are by themselves"
    assert set(changed["metrics/test.json"]) == {
        "test.functional", "functional_minus_representational", "functional_minus_supervised",
    }  # fmt: skip
    details = json.loads(finished.dvc("metrics", "diff", "--json", "--targets", "metrics/summary.json").stdout)
    assert all("functional" in name for name in details["metrics/summary.json"])
    diff = finished.run("git", "diff", "--numstat", "params.yaml").stdout.split()
    assert diff[:2] == ["1", "1"], "an experiment edits one line of params.yaml"
    back = ran(finished.dvc("exp", "run", "-S", f"lambda={LAMBDA}").stdout)
    assert back <= {"report"}
    assert finished.run("git", "status", "--porcelain").stdout == ""


def test_a_model_is_brought_by_its_name_and_classifies_an_image(finished: Project, tmp_path: Path) -> None:
    finished.run("git", "tag", "--annotate", "functional@v1.0.0", "--message", "DVC finds no other tags")
    model, image = str(tmp_path / "model"), tmp_path / "image.png"
    Image.new("L", (8, 8)).save(image)
    finished.dvc("artifacts", "get", str(finished.root), "functional", "-o", model)
    assert f"{image}: " in finished.python("fkt", "predict", model, str(image)).stdout
    finished.run("git", "tag", "--delete", "functional@v1.0.0")


def test_status_names_what_an_edit_would_run(finished: Project) -> None:
    assert "'fkt repro' would run: nothing" in finished.python("fkt", "status").stdout
    replace(finished, "params.yaml", f"\nlambda: {LAMBDA}", "\nlambda: 0.7")
    said = " ".join(finished.python("fkt", "status", str(finished.root)).stdout.split())
    assert "would run: plan, joint seed 0, evaluate functional, cam functional, report" in said
    put_back(finished)


def test_a_mistake_stops_before_training_and_costs_no_result(finished: Project) -> None:
    weights = finished.root / "models/functional/s0/weights.safetensors"
    before = weights.read_bytes()
    failed = finished.dvc("exp", "run", "-S", "lambda=-1", check=False)
    assert failed.returncode != 0
    assert "lambda: -1 is out of range; give at least 0" in failed.stdout + failed.stderr
    assert "Traceback" not in failed.stdout + failed.stderr
    assert weights.read_bytes() == before and (finished.root / "metrics/report.md").is_file()
    assert ran(finished.dvc("exp", "run", "-S", f"lambda={LAMBDA}").stdout) == set()


def test_nothing_is_trained_that_modes_does_not_name(project: Project) -> None:
    """From nothing, by both commands; the supervised arm alone needs no pretraining and no joint run."""
    project.python("fkt", "preset", "digits", "smoke")
    project.commit("smoke")
    first = project.dvc("exp", "run", "-S", "modes=[supervised]")
    assert ran(first.stdout) == {
        "prepare@digits", "views", "supervised@0", "evaluate@supervised", "evaluate-untrained", "cam@supervised",
        "report",
    }  # fmt: skip
    replace(project, "params.yaml", "modes:", "modes:\n- pretrained")
    more = {"pretrain@0", "evaluate@pretrained", "cam@pretrained", "report"}
    assert ran(project.dvc("repro").stdout) == more
    assert {path.parts[-3] for path in project.root.glob("models/*/*/card.json")} == {"pretrained", "supervised"}


def test_changed_added_and_removed_raw_files_are_prepared_again_and_a_clone_needs_none(project: Project) -> None:
    raw = project.root / "data/raw/folder"
    fakes.write_folder(raw, ("a", "b"), 10, size=16)
    project.python("fkt", "preset", "folder")

    def repro() -> str:
        said = project.dvc("repro", "prepare@folder").stdout
        prepared = "prepare@folder" in ran(said)
        return f"{said.split('stages.raw')[1].splitlines()[1]}{'; prepared' if prepared else ''}"

    assert repro() == "20 raw files, listed for the first time; prepared"
    before = fakes.contents(project.root / "data/folder")
    assert repro() == "20 raw files, unchanged"
    fakes.save(raw / "a/new.png", fakes.class_image(0, np.random.default_rng(9), 16))
    assert re.fullmatch(r"raw files changed.*: 20 files -> 21, [0-9,]+ bytes -> [0-9,]+; prepared", repro())
    more = fakes.contents(project.root / "data/folder")
    os.utime(raw / "a/new.png", (0, 0))
    assert repro() == "raw files changed since they were prepared: other names or times; prepared"
    assert fakes.contents(project.root / "data/folder") == more != before, "so that nothing else runs"
    fakes.save(raw / "a/new.png", fakes.class_image(0, np.random.default_rng(8), 24))
    assert re.fullmatch(r"raw files changed.*: [0-9,]+ bytes -> [0-9,]+; prepared", repro())
    assert fakes.contents(project.root / "data/folder")["images.npy"] != before["images.npy"]
    (raw / "a/new.png").unlink()
    assert re.fullmatch(r"raw files changed.*: 21 files -> 20, .*", repro()), "the outputs come from DVC's cache"
    assert fakes.contents(project.root / "data/folder") == before
    shutil.move(raw, project.root / "elsewhere")
    assert repro() == "no raw files of folder here; the listing stays as it is"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("fkt/evaluation/cam.py", {f"cam@{mode}" for mode in MODES}),
        # A model's card names the commit that trained it, so that what follows a new training runs again.
        (
            "fkt/ssl/losses/contrastive.py",
            {"pretrain@0", "joint@0", "finetune@0", "report"}
            | {f"{stage}@{mode}" for stage in ("evaluate", "cam") for mode in MODES if mode != "supervised"},
        ),
    ],
)
def test_an_edit_of_code_reruns_what_imports_it_and_stops_where_nothing_changes(
    finished: Project, name: str, stages: set[str]
) -> None:
    path = finished.root / name
    text = path.read_text()
    path.write_text(text + "# an edit that changes no number\n")
    assert ran(finished.dvc("repro").stdout) == stages
    path.write_text(text)
    put_back(finished)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("edit", "stages"),
    [
        ("finetune.epochs=2", {"finetune@0", "evaluate@representational", "cam@representational", "report"}),
        (
            "labels.per_class=3",
            {f"{stage}@0" for stage in ("finetune", "supervised", "joint")}
            | {f"{stage}@{mode}" for stage in ("evaluate", "cam") for mode in ("supervised", "representational")}
            | {"evaluate@functional", "cam@functional", "report"},
        ),
        (
            "seeds=[0,1]",
            {f"{stage}@1" for stage in ("pretrain", "finetune", "supervised", "joint")}
            | {f"{stage}@{mode}" for stage in ("evaluate", "cam") for mode in MODES}
            | {"evaluate-untrained", "report"},
        ),
    ],
)
def test_an_edit_of_params_reruns_what_depends_on_it(finished: Project, edit: str, stages: set[str]) -> None:
    assert ran(finished.dvc("exp", "run", "-S", edit).stdout) == stages
    put_back(finished)


@pytest.mark.slow
def test_an_arm_that_is_named_later_is_trained_alone_and_an_edit_of_it_reruns_it_alone(finished: Project) -> None:
    modes = f"modes=[{','.join((*MODES, 'frozen', 'distilled'))}]"
    trained = {"frozen@0", "pretrain-teacher@0", "distill@0", "finetune-distilled@0", "report"}
    evaluated = {f"{stage}@{mode}" for stage in ("evaluate", "cam") for mode in ("frozen", "distilled")}
    assert ran(finished.dvc("exp", "run", "-S", modes).stdout) == trained | evaluated
    clusters = ran(finished.dvc("exp", "run", "-S", modes, "-S", "distill.clusters=15").stdout)
    assert clusters == {"distill@0", "finetune-distilled@0", "evaluate@distilled", "cam@distilled", "report"}
    put_back(finished)
    assert ran(finished.dvc("repro").stdout) <= {"report"}
    assert finished.run("git", "status", "--porcelain").stdout == ""


@pytest.mark.slow
def test_two_folders_give_the_same_summary_to_the_byte(
    finished: Project, project_factory: Callable[[], Project]
) -> None:
    other = project_factory()
    other.python("fkt", "preset", "digits", "smoke")
    other.dvc("repro")
    for name in ("metrics/summary.json", "metrics/curves.csv", "metrics/confusion.csv"):
        assert (other.root / name).read_bytes() == (finished.root / name).read_bytes()
