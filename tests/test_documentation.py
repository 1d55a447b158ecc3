"""README.md, CONTRIBUTING.md and docs/*.md: links lead somewhere, every command parses, and those of ``sh`` blocks run.

The commands of a page run in order, in a small finished project of their own.
"""

import argparse
import importlib.util
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml

from fkt.cli.main import build_parser
from tests import fakes
from tests.conftest import ROOT, Project

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`((?:fkt|dvc|make|python -m)\s[^`]+)`")
LANGUAGES = {"sh", "text", "yaml", "python", "{toctree}"}
NOT_RUN = {
    r"make \w+|\S*/python -m pytest.*|\S*/pre-commit .*": "installs packages, or runs this test",
    r"docker .*": "needs a container engine and a network",
    r"fkt tune( --jobs 2)?": "takes an hour; tests/tuning runs a tuning",
    r"\S*/pip install .*|fkt export": "needs more packages; tests/publish exports if they are there",
}
"""Commands of ``sh`` blocks that no test here runs, with the reason."""
SECONDS = 600
"""A command that takes longer has failed."""


def commands(page: Path) -> list[str]:
    """The lines of the ``sh`` blocks of a page, without comments."""
    blocks = [text for language, text in BLOCK.findall(page.read_text(encoding="utf-8")) if language == "sh"]
    lines = (re.sub(r"(^|\s+)#.*", "", line) for text in blocks for line in text.splitlines())
    return [line for line in lines if line.strip()]


def inline(page: Path) -> list[str]:
    """The commands between single backquotes, each on one line."""
    return [" ".join(found.split()) for found in INLINE.findall(BLOCK.sub("", page.read_text(encoding="utf-8")))]


def reason_not_to_run(command: str) -> str | None:
    return next((reason for pattern, reason in NOT_RUN.items() if re.fullmatch(pattern, command.strip())), None)


def parts(command: str) -> Iterator[list[str]]:
    """The words of each command of a line: without settings of the environment, divided at ``&&``."""
    words = shlex.split(command)
    while words:
        end = words.index("&&") if "&&" in words else len(words)
        yield [word for word in words[:end] if not re.match(r"[A-Z_]+=", word)]
        words = words[end + 1 :]


class Refused(Exception):
    """A parser refuses a command."""


@pytest.fixture
def parsers(monkeypatch: pytest.MonkeyPatch) -> dict[str, argparse.ArgumentParser]:
    from dvc.cli.parser import DvcParser, get_main_parser

    def refuse(_: argparse.ArgumentParser, message: str, *_more: object) -> NoReturn:
        raise Refused(message)

    for kind in (argparse.ArgumentParser, DvcParser):
        monkeypatch.setattr(kind, "error", refuse)
    return {"fkt": build_parser(), "dvc": get_main_parser()}


def check(words: list[str], parsers: dict[str, argparse.ArgumentParser], *, complete: bool) -> None:
    """Raise Refused if a command does not exist. complete: a missing argument is a mistake too."""
    program, *arguments = words
    program = program.removeprefix(".venv/bin/")
    if program in parsers:
        try:
            parsers[program].parse_args(arguments)
        except SystemExit as ended:
            assert ended.code == 0, "only --help and --version end here"
        except Refused as error:
            if complete or "arguments are required" not in str(error):
                raise
    elif program == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert {word for word in arguments if "=" not in word} <= set(targets), words
    elif program == "python":
        assert arguments[0] == "-m" and importlib.util.find_spec(arguments[1]), words
    else:
        assert program in (".", "git", "docker", "pip", "pre-commit"), words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_parses(page: Path, parsers: dict[str, argparse.ArgumentParser]) -> None:
    assert {language for language, _ in BLOCK.findall(page.read_text(encoding="utf-8"))} <= LANGUAGES
    for complete, lines in ((True, commands(page)), (False, inline(page))):
        for line in lines:
            for words in parts(line):
                try:
                    check(words, parsers, complete=complete)
                except Refused as error:
                    pytest.fail(f"{page.name}: {line}: {error}")


def test_a_command_that_does_not_exist_is_noticed(parsers: dict[str, argparse.ArgumentParser]) -> None:
    for command in ("fkt checks", "fkt repro --job 2x", "dvc repo", "dvc exp run --sett lambda=1", "fkt predict"):
        with pytest.raises(Refused):
            check(command.split(), parsers, complete=True)
    check(["fkt", "predict"], parsers, complete=False)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    for link in re.findall(r"\]\((?!https?://)([^)\s]+)\)", text):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", BLOCK.sub("", target.read_text(encoding="utf-8")), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in anchors, f"{page.name}: {link}"


def shrink(values: dict[str, Any], small: dict[str, Any]) -> dict[str, Any]:
    """The values of a preset, with those of the preset smoke where it has the same key."""
    for key in values.keys() & small.keys():
        nested = isinstance(values[key], dict) and isinstance(small[key], dict)
        values[key] = shrink(values[key], small[key]) if nested else small[key]
    return values


@pytest.fixture(scope="module")
def finished(project_factory: Callable[[], Project]) -> Path:
    """A finished project whose presets are as small as smoke, with what a reader of the pages has: own images."""
    project = project_factory()
    root = project.root
    small = yaml.safe_load((ROOT / "presets/smoke.yaml").read_text())
    small["model"] = {"backbone": "resnet10", "width": 16}
    for path in (root / "presets").glob("*.yaml"):
        path.write_text(f"# {path.stem}\n{yaml.safe_dump(shrink(yaml.safe_load(path.read_text()) or {}, small))}")
    sweep = yaml.safe_load((root / "sweeps/lambda.yaml").read_text())
    sweep["axes"] = {name: dict([next(iter(levels.items()))]) for name, levels in sweep["axes"].items()}
    (root / "sweeps/lambda.yaml").write_text(yaml.safe_dump(sweep, sort_keys=False))
    (root / "docs").mkdir()
    shutil.copytree(ROOT / "metrics/tables", root / "metrics/tables")
    (root / "photos").mkdir()
    for name in ("photo.png", "docs/seven.png", "photos/cat.png"):
        shutil.copy(ROOT / "docs/seven.png", root / name)
    (root / "list.csv").write_text("path\nphotos/cat.png\n")
    (root / ".venv/bin").mkdir(parents=True)
    (root / ".venv/bin/activate").touch()
    own = root / "fkt/propose/preset.yaml.j2"
    own.write_text(re.sub(r"passes: \{\{.*?\}\}", "passes: 3", own.read_text()).replace("[0, 1, 2, 3, 4]", "[0]"))
    fakes.write_folder(root / "birds", parts=25)
    project.python("fkt", "preset", "digits")
    project.commit("smaller")
    project.python("fkt", "repro")  # not committed: the pages do this
    fakes.write_folder(root / "data/raw/folder", parts=25)
    return root


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=lambda page: page.name)
def test_the_commands_of_a_page_run(page: Path, finished: Path, tmp_path: Path) -> None:
    root = tmp_path / "project"
    shutil.copytree(finished, root, symlinks=True)
    environment = {**Project(root).environment, "PYTHONPATH": str(root)}  # 'fkt' is then that of the copy
    for command in commands(page):
        if reason_not_to_run(command) is None:
            done = subprocess.run(
                ["bash", "-c", command], cwd=root, env=environment, capture_output=True, text=True, timeout=SECONDS
            )
            assert done.returncode == 0, f"{page.name}: {command}\n{done.stdout}{done.stderr}"


def test_every_reason_not_to_run_a_command_is_about_one() -> None:
    found = [command.strip() for page in PAGES for command in commands(page)]
    for pattern in NOT_RUN:
        assert any(re.fullmatch(pattern, command) for command in found), pattern


def test_the_container_and_the_workflow_run_what_a_person_runs() -> None:
    assert re.search(r'^CMD \["make", "repro"\]$', (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    job = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["make"]
    assert job["steps"][-1]["run"] == "make ${{ matrix.target }}"
    assert {row["target"] for row in job["strategy"]["matrix"]["include"]} == {"test", "repro", "docs"}
