"""Wrong input of every kind, counted: ``pytest -n0 -m slow tests/test_fuzz.py`` prints what happened to each.

An input is refused with a short message, or it changes nothing. All else is a fault: a traceback, a result that differs
without a word, a line that is too long or has control characters, more than 25 seconds, a file that was touched.
"""

import copy
import itertools
import os
import pickle
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from fkt.check import check_names
from fkt.core.errors import ParamsError, UserError
from fkt.core.runs import METRICS, Run
from fkt.core.seals import seal
from fkt.data.meta import load_meta, load_names
from fkt.data.originals import load_originals
from fkt.data.store import load_split
from fkt.models.backbones import build_backbone
from fkt.models.checkpoint import load_model, save_model
from fkt.models.classifier import Classifier
from fkt.params import Model, parse_params
from fkt.params.reader import parse_yaml
from fkt.raw.notes import data_card, printed_notes
from fkt.raw.prepare import prepare
from fkt.report.arms import read_results
from tests.fakes import class_image, prepare_params, save, write_folder
from tests.models.test_checkpoint import MODEL, card
from tests.params.mistakes import SHIPPED
from tests.report.fabricated import fabricate, fabricated_params

pytestmark = pytest.mark.slow
FAULTS = ("traceback", "silent", "too long", "control characters", "over 25 s", "touched")

DEEP: list[Any] = []
for _ in range(300):
    DEEP = [DEEP]
WRONG: list[Any] = [
    None, "", True, False, -1, 0, 1, 3.0, -0.5, 0.5, 10**21, -(10**21), 2**31, 1e300, -1e300, 1e-300, float("nan"),
    float("inf"), "abc", "1e-3", "a\nb", "\x1b[31mred", "\0", "x" * 5000, "../../..", "/", "=cmd|' /C calc'!A0",
    "$(touch X)", "0; touch X", "\ud800", [], [[]], [None], ["0; touch X"], {}, {"a": 1},
    {"a\n\x1b": {"b": "y" * 4000}}, ["z" * 4000] * 50, list(range(5000)), DEEP,
]  # fmt: skip
LAUGHS = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}' if n else 'x'] * 9)}]" for n in range(9))
TEXTS = [
    "[" * 3000 + "]" * 3000, "{a: " * 3000, "- " * 3000, "&a [*a]", "\x1b]0;title\x07", "\0", "'" * 999, "9" * 5000,
    "!!python/name:os.system", LAUGHS, "\u2028: 1",
]  # fmt: skip
NAMES = [
    "<script>alert(1)</script>", "=cmd|' /C calc'!A0", "$\\frac{1", "a|b`c*d_e[f](g)", "{{ 7 * 7 }}", "</td>\"'&amp;",
    "%s%n{0}", "-" * 250, "@SUM(A1)", "..etc", "\u202egnp.exe", "\U0001f600 \u00e9t\u00e9",
]  # fmt: skip


class Count(Counter[str]):
    """What happened to each input of a kind."""

    def tried(self, attempt: Callable[[], object], good: Callable[[Any], bool], kept: Path | None = None) -> None:
        """Count what an attempt does. good: whether its result, if any, is right; kept: files that it may not touch."""

        def state() -> dict[Path, bytes]:
            return {path: path.read_bytes() for path in sorted(kept.rglob("*")) if path.is_file()} if kept else {}

        def late(*_: object) -> None:
            raise TimeoutError

        before, what = state(), ""
        signal.signal(signal.SIGALRM, late)
        signal.alarm(25)
        try:
            what = "the same" if good(attempt()) else "silent"
        except UserError as error:
            text, what = str(error), "refused"
            limit = 300 if isinstance(error, ParamsError) else 1000
            self["too long"] += text.count("\n") > 25 or any(len(line.strip()) > limit for line in text.split("\n"))
            self["control characters"] += not text.replace("\n", "").isprintable()
        except TimeoutError:
            what = "over 25 s"
        except Exception as error:
            what = "traceback"
            print(f"{type(error).__name__}: {error}")
        finally:
            signal.alarm(0)
        self.update(["tried", what, *(["touched"] if state() != before else [])])


@pytest.fixture
def count(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Iterator[Count]:
    """A count that is printed at the end of a test, and holds no fault."""
    found = Count()
    yield found
    shown = ", ".join(f"{name} {found[name]}" for name in ("tried", "refused", "the same", *FAULTS))
    with capsys.disabled():
        print(f"\n{request.node.name.removeprefix('test_')}: {shown}")
    assert not any(found[fault] for fault in FAULTS)


def places(content: Any, where: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place of every section, list and value."""
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield (*where, key)
        yield from places(value, (*where, key))


def test_values_of_params_yaml(count: Count) -> None:
    content = yaml.safe_load(SHIPPED)
    content["tuning"] = []  # a record of what was, without an effect
    for where, value in itertools.product(list(places(content)), WRONG):
        changed = copy.deepcopy(content)
        section = changed
        for part in where[:-1]:
            section = section[part]
        before, section[where[-1]] = section[where[-1]], value
        number = isinstance(value, int | float) and not isinstance(value, bool)
        absurd = value == "" or value is DEEP or (number and not abs(value) <= 2**31)
        absurd |= isinstance(value, bool) and not isinstance(before, bool)
        count.tried(lambda: check_names(parse_params(changed)), lambda _: not absurd)  # noqa: B023
    for text, key in itertools.product(TEXTS, ("lambda: ", "seeds:\n- ", "dataset: ", "prepare:\n  source: ", "")):
        for whole in (f"{SHIPPED}\n{key}{text}\n", f"{key}{text}\n"):
            count.tried(lambda: parse_params(parse_yaml(whole, "params.yaml")), lambda _: False)  # noqa: B023


def damages(path: Path, random: np.random.Generator) -> Iterator[bytes | None]:
    """Yield contents that a file may get from a full disk, a bad copy, another program; None: it is gone."""
    whole = path.read_bytes()
    yield from (None, b"", b"\0" * len(whole), b"<html>404</html>")
    yield from (whole[: len(whole) // 2], whole[:-1], whole + b"\n0")
    for at in random.integers(len(whole), size=12).tolist():
        yield whole[:at] + bytes([whole[at] ^ 1 << int(random.integers(8))]) + whole[at + 1 :]


def damaged(paths: list[Path], random: np.random.Generator) -> Iterator[None]:
    """Damage one file after the other in many ways, and repair it each time."""
    for path in paths:
        whole = path.read_bytes()
        for content in damages(path, random):
            path.unlink() if content is None else path.write_bytes(content)
            yield
        path.write_bytes(whole)


def everything(prepared: Path) -> bytes:
    """What the stages read of a prepared folder."""
    splits = [load_split(prepared, name) for name in ("train", "val", "test")]
    arrays = [(part.ids, part.labels, part.images(part.ids.argsort().sort().values)) for part in splits]
    listed = [[array.tolist() for array in three] for three in arrays]
    return pickle.dumps((load_meta(prepared, "groups.npy"), listed, load_names(prepared), load_originals(prepared)))


def test_prepared_arrays(tmp_path: Path, count: Count) -> None:
    write_folder(tmp_path / "raw", parts=12)
    prepared = tmp_path / "data"
    prepare("folder", prepare_params(tmp_path / "raw", image_size=8), prepared)
    expected = everything(prepared)
    for _ in damaged(sorted(prepared.iterdir()), np.random.default_rng(0)):
        count.tried(lambda: everything(prepared), lambda found: found == expected, prepared)


def test_results_and_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: Count) -> None:
    monkeypatch.chdir(tmp_path)
    params = fabricated_params(modes=["pretrained", "functional"], seeds=[0, 1])
    fabricate(params, num_test=20)
    files = sorted(path for path in METRICS.rglob("*") if path.is_file())
    for folder in {path.parent for path in files if path.parent.name != "maps"}:  # as the stages do
        seal(folder)
    expected = pickle.dumps(read_results(params))
    files.append(Run(params.dataset, "functional", 0).log / "checksums.json")
    for _ in damaged(files, np.random.default_rng(0)):
        count.tried(lambda: pickle.dumps(read_results(params)), lambda found: found == expected, METRICS)


def test_models(tmp_path: Path, count: Count) -> None:
    folder = tmp_path / "model"
    save_model(folder, Classifier(build_backbone(Model.model_validate(MODEL), 1), 3), card())

    def attempt() -> bytes:
        model, found = load_model(folder)
        return pickle.dumps((found, [(name, value.tolist()) for name, value in model.state_dict().items()]))

    expected = attempt()
    for _ in damaged(sorted(folder.iterdir()), np.random.default_rng(0)):
        count.tried(attempt, lambda found: found == expected, folder)


def hostile(tree: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield what a source may hold besides images, and what puts it there."""
    inside, image = tree / "bar", tree / "bar" / "000.png"
    yield "pipe", lambda: os.mkfifo(inside / "pipe.png")
    yield "circle", lambda: (inside / "up").symlink_to(tree)
    yield "device", lambda: (inside / "zero.png").symlink_to("/dev/zero")
    yield "out", lambda: (inside / "usr").symlink_to("/usr")
    yield "class out", lambda: (tree / "usr").symlink_to("/usr")
    yield "bomb", lambda: Image.new("1", (20_000, 20_000)).save(inside / "bomb.png")
    yield "thread", lambda: Image.new("1", (1, 60_000)).save(inside / "long.png")
    yield "folder", lambda: (inside / "folder.png").mkdir()
    yield "deep", lambda: save(inside.joinpath(*["d" * 9] * 60, "deep.png"), class_image(0, np.random.default_rng(1)))
    yield "formulas", lambda: (tree / "classes.csv").write_text("class,name\nbar,=1+1\ndisc,\x1b[31m\n")
    yield "zeros", lambda: (tree / "classes.csv").write_bytes(b"\0" * 999)
    for number, content in enumerate(damages(image, np.random.default_rng(2))):
        yield f"damage {number}", lambda content=content: image.write_bytes(content or b"")
    for name in (*NAMES, "new\nline", "esc\x1b[2J", "bell\x07", os.fsdecode(b"\xff\xfe"), " ", "a" * 255):
        flat = name.replace("/", "")
        yield f"class {flat}", lambda flat=flat: shutil.copytree(tree / "disc", tree / flat)
        yield f"file {flat}", lambda flat=flat: shutil.copy(image, tree / "disc" / f"{flat[:250]}.png")


def test_image_trees(tmp_path: Path, count: Count) -> None:
    original, tree, target = (tmp_path / name for name in ("original", "tree", "data"))
    write_folder(original, parts=6)

    def attempt(follow: bool, corrupt: str) -> str:
        settings = prepare_params(tree, image_size=8, follow_links=follow, on_corrupt=corrupt, limit_per_class=4)
        meta = prepare("folder", settings, target)
        shutil.rmtree(target)
        return "".join([*printed_notes(meta), *itertools.chain(*data_card(meta))])

    for (name, _), follow, corrupt in itertools.product(list(hostile(original)), (False, True), ("error", "skip")):
        if not (follow and name.endswith("out")):  # all of /usr, as asked for
            shutil.copytree(original, tree)
            dict(hostile(tree))[name]()
            count.tried(lambda: attempt(follow, corrupt), str.isprintable)  # noqa: B023
            assert not list(tmp_path.glob("*data*")), name
            shutil.rmtree(tree)


def test_names_in_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: Count) -> None:
    from stages.report import main

    def attempt() -> list[str]:
        main(params)
        lines = [line for path in METRICS.glob("*.csv") for line in path.read_text().splitlines()]
        formulas = [cell for line in lines for cell in line.split(",") if cell.strip('"').startswith(("=", "@"))]
        return formulas + ["script"] * ("<script>alert(1)" in (METRICS / "report.html").read_text())

    for number in range(0, len(NAMES), 4):
        (tmp_path / str(number)).mkdir()
        monkeypatch.chdir(tmp_path / str(number))
        params = fabricated_params(modes=["supervised", "functional"], seeds=[0, 1])
        fabricate(params, num_test=20, names=NAMES[number : number + 4])
        count.tried(attempt, lambda found: found == [])
