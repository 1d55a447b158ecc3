"""params.yaml as a file: text that readers take differently, what DVC makes of it, the command that checks it."""

import io
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from fkt.core.errors import ParamsError
from fkt.params import load_params, parse_params
from fkt.params.reader import parse_yaml
from tests.params.mistakes import ROOT, SHIPPED, complaint, edited, with_text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "lambda: 1e-3",
            "lambda: '1e-3' is text; write 0.001 (YAML reads a number without a decimal point as text)",
        ),
        ("lambda: 1.0\nlambda: 2.0", "params.yaml: the key 'lambda' appears twice, again at line"),
        ("lambda: 010", "params.yaml: 010 at line "),
        ("lambda: 1:30", "1:30 at line "),
        ("lambda: 1_000.0", " is not a plain decimal number; write one"),
        ("lambda: 1.0\n[1]: 2", " is not a name; write a name"),
        ("lambda: 1.0\n7: 2", "params.yaml: [7]: unknown key; remove it"),
        ("lambda: 1.0: 2", "params.yaml is not YAML: mapping values are not allowed here"),
        ("lambda: [1.0", "params.yaml is not YAML: "),
        ("\tlambda: 1.0", "params.yaml is not YAML: "),
        ("lambda: 1.0\0", "params.yaml is not YAML: "),
        ("lambda: *nowhere", "params.yaml is not YAML: found undefined alias"),
        (
            "lambda: 2024-99-99",
            "params.yaml: '2024-99-99' at line 5 is not a valid timestamp; correct it, or put text in",
        ),
        ("lambda: !!timestamp 3", "params.yaml: '3' at line 5 is not a valid timestamp; correct it"),
        ("lambda: !!float ''", "params.yaml: '' at line 5 is not a valid float; correct it"),
        ("lambda: !!bool maybe", "params.yaml: 'maybe' at line 5 is not a valid bool; correct it"),
        (f"lambda: {'[' * 3000}{']' * 3000}", "params.yaml is nested too deeply; restore it with 'git checkout"),
        ("lambda: !!python/name:os.system", "params.yaml is not YAML: could not determine a constructor"),
    ],
)
def test_text_that_yaml_readers_read_differently_is_refused(text: str, message: str) -> None:
    said = complaint(with_text(text))
    assert message in said
    assert said.count("\n") == 0


def test_a_duplicate_key_inside_a_section_is_refused() -> None:
    said = complaint(with_text("  val_fraction: 0.2\n  val_fraction: 0.1", "  val_fraction: 0.2"))
    assert "the key 'val_fraction' appears twice" in said


def test_a_list_that_is_filled_and_emptied_by_dvc_stays_readable(tmp_path: Path) -> None:
    """With a comment on the line of an empty list, DVC writes a file that it cannot read the time after."""
    from dvc.utils.hydra import apply_overrides

    copy = Path(shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml"))
    for names in (["usps", "mnist"], ["usps"], [], ["svhn"], []):
        apply_overrides(copy, [f"transfer.datasets=[{','.join(names)}]"])
        assert load_params(copy).transfer.datasets == names


@pytest.mark.parametrize(
    "text", ["lambda: 0", "lambda: 2", "lambda: .5", "lambda: 1.", "lambda: 1.0e-3", "lambda: 5.0E+2"]
)
def test_plain_numbers_are_read_as_dvc_reads_them(text: str) -> None:
    ours = parse_params(parse_yaml(with_text(text), "params.yaml"))
    assert ours.ssl_weight == float(YAML(typ="safe").load(with_text(text))["lambda"]) == float(text.split()[1])


@pytest.mark.parametrize("text", ["", "# only a comment\n", "- a\n", "word\n"])
def test_a_file_without_keys_is_refused(text: str) -> None:
    assert complaint(text) == "params.yaml has no keys; restore it with 'git checkout params.yaml'"


def test_a_missing_file_and_a_file_that_is_not_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="does not exist here; run from the project's root, or restore it"):
        load_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_bytes(b"lambda: \xff\xfe")
    with pytest.raises(ParamsError, match="cannot be read: .*can't decode"):
        load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize(
    ("key", "value"), [("lambda", 0.25), ("seeds", [3, 5]), ("joint.learning_rate", 0.0001), ("labels.per_class", None)]
)
def test_an_edit_by_hand_and_by_dvc_give_the_same_params(key: str, value: object) -> None:
    """``dvc exp run -S`` loads with ruamel's round trip, sets the key, and dumps; the whole file is rewritten by it."""
    round_trip = YAML()
    content = round_trip.load(SHIPPED)
    *path, last = key.split(".")
    section = content
    for part in path:
        section = section[part]
    section[last] = value
    written = io.StringIO()
    round_trip.dump(content, written)
    by_dvc = parse_params(parse_yaml(written.getvalue(), "params.yaml"))
    assert by_dvc == parse_params(parse_yaml(edited(key, value), "params.yaml"))
    assert "# weight of the SSL loss" in written.getvalue()


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        (SHIPPED, 0, ""),
        (with_text("lambda: abc"), 1, "error: params.yaml: lambda: 'abc' is text; give a number\n"),
        (None, 1, "error: params.yaml does not exist here; run from the project's root"),
    ],
)
def test_the_command_has_an_exit_status_and_no_traceback(
    tmp_path: Path, text: str | None, status: int, said: str
) -> None:
    shutil.copytree(ROOT / "fkt", tmp_path / "fkt", ignore=shutil.ignore_patterns("__pycache__"))
    if text is not None:
        (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "fkt", "check", "--no-estimate"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status
    assert done.stderr.startswith(said) and bool(done.stderr) == bool(said)
    assert "Traceback" not in done.stderr
    assert ("params.yaml: ok" in done.stdout) == (status == 0)
