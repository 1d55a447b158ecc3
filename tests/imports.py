"""Which files of ours a stage imports, by reading the code: ``python -m tests.imports`` writes them into dvc.yaml.

Imports inside of functions count (they are only late), those under ``if TYPE_CHECKING:`` do not (they never happen).
A package's ``__init__.py`` counts where it holds more than a docstring.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
OURS = ("fkt", "stages")
PIPELINE = ROOT / "dvc.yaml"
GROUND = ("fkt/core", "fkt/params", "fkt/data", "fkt/raw")
"""Rooms that are listed as a whole wherever a file of them is imported: their stages are cheap, or come first."""


def module_path(module: str) -> Path | None:
    """The file of a module or package of ours, relative to the root; None for a name that is neither."""
    base = Path(*module.split("."))
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if (ROOT / candidate).is_file():
            return candidate
    return None


def is_empty(path: Path) -> bool:
    """Whether a file holds nothing but a docstring."""
    body = parsed(path).body
    return all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in body)


@cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), filename=str(path))


def _happening(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes below one, but for the bodies of ``if TYPE_CHECKING:``."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            for other in child.orelse:
                yield other
                yield from _happening(other)
            continue
        yield child
        yield from _happening(child)


@cache
def direct_imports(path: Path) -> frozenset[Path]:
    """Files of ours that a file's own import statements load, packages on the way included."""
    modules: set[str] = set()
    for node in _happening(parsed(path)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path}:{node.lineno}: imports are absolute here"
            modules |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    found: set[Path] = set()
    for module in modules:
        parts = module.split(".")
        if parts[0] in OURS:
            found |= {file for n in range(1, len(parts) + 1) if (file := module_path(".".join(parts[:n])))}
    return frozenset(found - {path})


def imported_files(module: str) -> set[Path]:
    """Every file of ours that running ``python -m module`` can load, but for empty ``__init__`` and the version."""
    start, init = module_path(module), Path("fkt/__init__.py")
    assert start is not None, f"there is no module {module}"
    package = module_path(module.rsplit(".", 1)[0])
    reached = {init}  # its function load is called by no stage
    waiting = [start, *([package] if package else [])]
    while waiting:
        path = waiting.pop()
        if path not in reached:
            reached.add(path)
            waiting += direct_imports(path)
    return {path for path in reached if not is_empty(path)} - {init}


def stage_definitions() -> dict[str, dict[str, Any]]:
    """The stages of dvc.yaml by name; a matrix stage is one entry."""
    stages: dict[str, dict[str, Any]] = yaml.safe_load(PIPELINE.read_text(encoding="utf-8"))["stages"]
    return stages


def stage_module(stage: dict[str, Any]) -> str:
    """The module that a stage's command runs."""
    match = re.match(r"python -m (stages\.\w+)", stage["cmd"])
    assert match, f"'{stage['cmd']}' does not run a module of stages"
    return match.group(1)


def code_deps(stage: dict[str, Any]) -> list[Path]:
    """The code that a stage lists: files and folders of ours, as they are written. A training stage has it in meta."""
    listed = stage["meta"]["code"] if "meta" in stage else stage["deps"]
    return [Path(dep) for dep in listed if Path(dep).parts[0] in OURS]


def needed_files(name: str, stages: dict[str, dict[str, Any]]) -> set[Path]:
    """The files of ours that a stage depends on; of the plan, which has their checksum, also those of all trainings."""
    together = [stage for stage in stages.values() if "meta" in stage] if name == "plan" else []
    return {path for stage in (stages[name], *together) for path in imported_files(stage_module(stage))}


def code_files(folder: Path) -> set[Path]:
    """What a dep on a folder of code stands for: its files, but the empty ``__init__`` and the command ``__main__``."""
    files = {path.relative_to(ROOT) for path in (ROOT / folder).rglob("*.py")}
    return {path for path in files if path.name != "__main__.py" and not is_empty(path)}


def as_deps(files: set[Path]) -> list[str]:
    """The shortest list of deps: a folder in place of its files, and of folders in it, where it is imported whole."""
    whole = {path.parent for path in files if code_files(path.parent) <= files and path.parent != Path("stages")}
    whole = (whole - {Path("fkt")}) | {Path(room) for room in GROUND}
    outermost = {path: [parent for parent in path.parents if parent in whole][-1:] for path in files}
    return sorted({str(folder[0] if folder else path) for path, folder in outermost.items()})


def with_code_deps(text: str) -> str:
    """The text of a pipeline file with the code deps of each stage replaced by what the stage imports."""
    stages = yaml.safe_load(text)["stages"]
    lines: list[str] = []
    stage = ""
    for line in text.split("\n"):
        if match := re.fullmatch(r"  ([\w-]+):", line):
            stage = match.group(1)
        if re.fullmatch(rf" +- ({'|'.join(OURS)})/.*", line):
            continue
        lines.append(line)
        if line == ("      code:" if "meta" in stages.get(stage, {}) else "    deps:"):
            indent = line.index(line.strip()) + 2
            lines += [f"{' ' * indent}- {dep}" for dep in as_deps(needed_files(stage, stages))]
    return "\n".join(lines)


if __name__ == "__main__":
    PIPELINE.write_text(with_code_deps(PIPELINE.read_text(encoding="utf-8")), encoding="utf-8")
