"""Stages list in dvc.yaml the code that they import, all of it and no more; and imports flow one way."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.imports import (
    GROUND,
    ROOT,
    as_deps,
    code_deps,
    code_files,
    direct_imports,
    imported_files,
    needed_files,
    parsed,
    stage_definitions,
    stage_module,
)

STAGES = stage_definitions()
SOURCES = sorted(path.relative_to(ROOT) for room in ("fkt", "stages") for path in (ROOT / room).rglob("*.py"))
BASE = {"core", "params"}
"""Rooms that every other room may import."""
MAY_IMPORT = {
    "core": set(),
    "params": {"core"},
    "data": BASE,
    "raw": BASE | {"data"},
    "views": BASE | {"data"},
    "sheet": BASE | {"data", "views"},
    "models": BASE | {"data"},
    "ssl": BASE | {"data", "views", "models"},
    "training": BASE | {"data", "views", "models", "ssl"},
    "build": BASE | {"views", "ssl", "training"},
    "evaluation": BASE | {"data", "models", "raw"},
    "report": BASE | {"data", "raw"},
    "check": BASE | {"raw"},
    "propose": BASE | {"data", "raw"},
    "sweeps": BASE | {"check"},
    "jobs": BASE,
    "estimate": BASE | {"data", "views", "models", "training", "evaluation", "raw", "build"},
    "tuning": BASE | {"check", "sweeps"},
    "publish": BASE | {"data", "evaluation", "models", "raw", "report"},
    "cli": BASE
    | {"check", "estimate", "evaluation", "jobs", "propose", "publish", "raw", "report", "sweeps", "tuning"},
}
"""The one direction: stages, cli -> report, evaluation, training -> ssl -> models, views -> data -> params -> core."""


def room(path: Path) -> str:
    return path.parts[1].removesuffix(".py") if path.parts[0] == "fkt" else "stages"


def names_called(tree: ast.Module) -> set[str]:
    called = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {function.id if isinstance(function, ast.Name) else getattr(function, "attr", "") for function in called}


def constants(tree: ast.Module) -> set[object]:
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_lists_exactly_the_code_it_imports(name: str) -> None:
    imported = needed_files(name, STAGES)
    listed: set[Path] = set()
    for dep in code_deps(STAGES[name]):
        assert (ROOT / dep).exists(), f"{name}: {dep} is not there"
        listed |= code_files(dep) if (ROOT / dep).is_dir() else {dep}
    remedy = "'python -m tests.imports' writes the list"
    assert not imported - listed, f"{name} imports {sorted(map(str, imported - listed))}, not in its deps; {remedy}"
    listed = {path for path in listed if not str(path).startswith(GROUND)}
    assert not listed - imported, f"{name} lists {sorted(map(str, listed - imported))}, not imported; {remedy}"


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_lists_no_dep_twice(name: str) -> None:
    deps = code_deps(STAGES[name])
    assert len(deps) == len(set(deps))
    assert not [dep for dep in deps if any(parent in deps for parent in dep.parents)]


def test_every_stage_file_is_run_by_dvc() -> None:
    run = {stage_module(stage) for stage in STAGES.values()}
    written = {f"stages.{path.stem}" for path in (ROOT / "stages").glob("*.py") if path.stem != "__init__"}
    assert run == written


def test_the_walker_sees_late_imports_and_packages_and_skips_type_checking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        "stages/one.py": "from fkt.a import late\nimport fkt.b\n",
        "fkt/__init__.py": '"""Docstring only."""\n',
        "fkt/a/__init__.py": "from fkt.a.inner import name\n",
        "fkt/a/inner.py": "from fkt.a.deep.inmost import name\n",
        "fkt/a/deep/inmost.py": "name = 1\n",
        "fkt/a/late.py": "def f():\n    from fkt.c import g\n    return g\n",
        "fkt/b.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import fkt.d\nelse:\n    import fkt.e\n",
        **{f"fkt/{name}.py": f"{name} = g = 1\n" for name in "cdef"},
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr("tests.imports.ROOT", tmp_path)
    parsed.cache_clear()
    direct_imports.cache_clear()
    try:
        found = imported_files("stages.one")
        assert {str(path) for path in found} == {
            "stages/one.py", "fkt/a/__init__.py", "fkt/a/inner.py", "fkt/a/deep/inmost.py", "fkt/a/late.py", "fkt/b.py",
            "fkt/c.py", "fkt/e.py",
        }  # fmt: skip
        assert as_deps(found) == ["fkt/a", "fkt/b.py", "fkt/c.py", "fkt/e.py", "stages/one.py"]
    finally:
        parsed.cache_clear()
        direct_imports.cache_clear()


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_imports_flow_one_way(path: Path) -> None:
    mine = room(path)
    theirs = {room(other) for other in direct_imports(path) if other != Path("fkt/__init__.py")} - {mine}
    if mine == "stages":
        assert not theirs & {"cli", "sweeps"}
    elif mine not in ("__init__", "__main__"):
        assert theirs <= MAY_IMPORT[mine], f"{path} may not import {sorted(theirs - MAY_IMPORT[mine])}"


def test_stages_do_not_import_each_other() -> None:
    for path in (ROOT / "stages").glob("*.py"):
        relative = path.relative_to(ROOT)
        others = {str(other) for other in direct_imports(relative) if other.parts[0] == "stages"}
        assert others <= {"stages/__init__.py"}


@pytest.mark.parametrize(
    "name",
    [
        "fkt/ssl/losses/clustering.py",
        "fkt/ssl/losses/contrastive.py",
        "fkt/ssl/losses/redundancy.py",
        "fkt/ssl/losses/similarity.py",
        "fkt/evaluation/metrics.py",
        "fkt/report/statistics.py",
    ],
)
def test_formulas_import_no_other_room(name: str) -> None:
    module = name.removesuffix(".py").replace("/", ".")
    assert {room(path) for path in imported_files(module)} == {room(Path(name))}


def test_only_evaluate_and_cam_open_the_test_images() -> None:
    openers = {path for path in SOURCES if "load_split" in names_called(parsed(path))}
    of_test = {str(path) for path in openers if "test" in constants(parsed(path))}
    assert of_test == {"stages/evaluate.py", "stages/cam.py"}
    for path in openers:
        for call in ast.walk(parsed(path)):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "load_split" and str(path) not in of_test:
                assert isinstance(call.args[1], ast.Constant), f"{path}:{call.lineno}: name the split"


def test_no_module_is_imported_by_a_computed_name() -> None:
    for path in SOURCES:
        for call in ast.walk(parsed(path)):
            if isinstance(call, ast.Call):
                name = ast.unparse(call.func)
                assert name not in ("__import__", "exec", "eval"), f"{path}:{call.lineno}"
                assert not name.endswith("import_module"), f"{path}:{call.lineno}"
