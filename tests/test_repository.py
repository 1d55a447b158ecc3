"""What holds for the repository as a whole: its files, its pins, and what its code never does."""

import ast
import importlib.metadata
import re
import socket
import subprocess
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fkt.core.arms import NETWORKS
from tests.conftest import Project
from tests.imports import stage_definitions

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ("requirements.txt", "requirements-dev.txt")


def files() -> list[Path]:
    """What is committed or would be: tracked files, and untracked ones that git does not ignore."""
    if not (ROOT / ".git").exists():
        pytest.skip("this copy of the project is no git repository")
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return [path for name in listing.split("\0") if name and (path := ROOT / name).is_file()]


def sources() -> list[Path]:
    return sorted(path for room in ("fkt", "stages") for path in (ROOT / room).rglob("*.py"))


def pins(name: str) -> dict[str, str]:
    """Package and version of each pin of a requirements file."""
    lines = [line.split(" #")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    wanted = [line for line in lines if line and not line.startswith(("#", "-r "))]
    found = {}
    for line in wanted:
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==([0-9][0-9a-z.]*)", line)
        assert match, f"{name}: '{line}' is no exact pin"
        assert canonicalize_name(match[1]) not in found, f"{name}: {match[1]} stands twice"
        found[canonicalize_name(match[1])] = match[2]
    return found


def calls(tree: ast.Module) -> list[tuple[str, ast.Call]]:
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [(ast.unparse(node.func), node) for node in found]


def test_code_is_ascii() -> None:
    code = [
        path for path in files() if path.suffix in (".py", ".yaml", ".toml", ".txt") or path.name in ("Makefile", "run")
    ]
    assert len(code) > 50
    for path in code:
        bad = [n for n, line in enumerate(path.read_bytes().split(b"\n"), 1) if not line.isascii()]
        assert not bad or "metrics" in path.parts, f"{path.relative_to(ROOT)}: lines {bad}"


def test_no_file_is_over_a_mebibyte() -> None:
    big = [str(path.relative_to(ROOT)) for path in files() if path.stat().st_size > 2**20]
    assert not big


def test_outputs_of_dvc_and_raw_data_are_not_in_git() -> None:
    folders = (
        "data/",
        "models/",
        "metrics/logs/",
        "metrics/runs/",
        "metrics/maps/",
        "metrics/predictions.csv",
        ".ckpt/",
        "dvc_plots/",
        ".dvc/tmp/",
        ".dvc/cache/",
    )
    kept = [str(path.relative_to(ROOT)) for path in files()]
    assert not [name for name in kept if name.startswith(folders) and not name.startswith("data/listing/")]


def test_git_ignores_every_cached_output_so_that_dvc_adds_no_pattern() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("this copy of the project is no git repository")
    entries = [out for stage in stage_definitions().values() for out in stage.get("outs") or []]
    outs = [out for out in entries if isinstance(out, str)]  # the others have cache: false, and git keeps them
    assert len(outs) >= 8
    for out in outs:
        path = re.sub(r"\$\{[^}]*\}", "x", out)
        done = subprocess.run(["git", "check-ignore", "--quiet", path], cwd=ROOT, check=False)
        assert done.returncode == 0, f"{path}: add a pattern to .gitignore"


def test_requirements_are_exact_pins_without_addresses() -> None:
    assert len(pins("requirements.txt")) > 100
    assert len(pins("requirements-dev.txt")) >= 10
    assert not set(pins("requirements.txt")) & set(pins("requirements-dev.txt"))
    assert len(pins("requirements-docs.txt")) > 20
    for name in (*REQUIREMENTS, "requirements-docs.txt"):
        text = (ROOT / name).read_text()
        assert "://" not in text and "--index" not in text and "--find-links" not in text
    assert "-r requirements.txt" in (ROOT / "requirements-dev.txt").read_text().splitlines()


def test_everything_that_the_pipeline_brings_along_is_pinned() -> None:
    """But for the CUDA and Triton wheels, which torch pins itself."""
    pinned, waiting, seen = pins("requirements.txt"), list(pins("requirements.txt")), set()
    missing = set()
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in seen or re.match(r"(nvidia|cuda)-|triton$", name):
            continue
        seen.add(name)
        if name not in pinned:
            missing.add(name)
        for line in importlib.metadata.requires(name) or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    assert not missing


def test_what_is_installed_is_what_is_pinned() -> None:
    for name in REQUIREMENTS:
        for package, version in pins(name).items():
            assert importlib.metadata.version(package).split("+")[0] == version, f"{package}: run 'make test'"


def test_torchvision_accepts_the_pinned_torch() -> None:
    wanted = [Requirement(line) for line in importlib.metadata.requires("torchvision") or []]
    torch = next(requirement for requirement in wanted if requirement.name == "torch")
    assert torch.specifier.contains(pins("requirements.txt")["torch"])


def test_nothing_is_unpickled_and_no_yaml_is_loaded_unsafely() -> None:
    for path in sources():
        for name, call in calls(ast.parse(path.read_text(encoding="utf-8"))):
            where = f"{path.relative_to(ROOT)}:{call.lineno}: {name}"
            keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            assert not re.match(r"(c?[pP]ickle|dill|joblib|shelve|marshal)\.", name), where
            assert name not in ("pd.read_pickle", "pandas.read_pickle", "yaml.unsafe_load", "yaml.full_load"), where
            if name == "torch.load":
                assert keywords.get("weights_only") == "True", where
            if name in ("np.load", "numpy.load"):
                assert keywords.get("allow_pickle") == "False", where
            if name in ("yaml.load", "yaml.load_all"):
                assert re.fullmatch(r"yaml\.C?SafeLoader", keywords.get("Loader", "")), where


def test_no_global_random_generator_is_used() -> None:
    """Their numbers depend on what was drawn before; ours are keyed."""
    for path in sources():
        for name, call in calls(ast.parse(path.read_text(encoding="utf-8"))):
            where = f"{path.relative_to(ROOT)}:{call.lineno}: {name}"
            assert not re.fullmatch(
                r"random\.[a-z]\w*|np\.random\.(?!default_rng)[a-z]\w*|torch\.(manual_)?seed", name
            ), where
            if name == "np.random.default_rng":
                assert call.args, f"{where}: give a seed"


DRAWING = re.compile(
    r"torch\.(rand|randn|randint|randperm|normal|bernoulli|poisson|multinomial)(_like)?"
    r"|(?!(torch\.)?nn\.init\.).*\.(uniform|normal|log_normal|random|exponential|bernoulli|cauchy|geometric)_"
)
UNDER_SEEDED = [("fkt/ssl/moco.py", "torch.randn"), ("fkt/ssl/pirl.py", "torch.randn")]
"""First contents of a bank and of a queue: drawn as fresh weights are, under fkt.data.keys.seeded."""


def draws_without_generator(tree: ast.Module) -> list[str]:
    """What draws from torch's global generator, but for torch.nn.init."""
    drawing = [(name, call) for name, call in calls(tree) if DRAWING.fullmatch(name)]
    return [name for name, call in drawing if "generator" not in {keyword.arg for keyword in call.keywords}]


@pytest.mark.parametrize(
    ("text", "draws"),
    [
        ("torch.rand(3)", True),
        ("torch.randperm(len(x), device=device)", True),
        ("torch.randn_like(x)", True),
        ("torch.empty(3).uniform_(0, 1)", True),
        ("torch.randint(9, (2,), generator=keyed_generator(0))", False),
        ("x.normal_(generator=generator)", False),
        ("nn.init.normal_(head.weight, std=0.01)", False),
        ("np.random.default_rng(0).multinomial(3, p)", False),
    ],
)
def test_a_draw_from_the_global_generator_is_noticed(text: str, draws: bool) -> None:
    assert bool(draws_without_generator(ast.parse(text))) is draws


def test_draws_of_torch_name_their_generator() -> None:
    found = [
        (str(path.relative_to(ROOT)), name)
        for path in sources()
        for name in draws_without_generator(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert sorted(found) == UNDER_SEEDED


def test_continuous_integration_runs_make_test() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert script.startswith("#!/usr/bin/env bash\n")
    assert re.search(r"^(exec )?make test$", script, re.MULTILINE)
    assert "set -euo pipefail" in script


def test_the_tools_of_pre_commit_are_those_of_make_check() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repo["repo"] for repo in hooks] == ["local"]
    commands = {hook["entry"].split()[0] for hook in hooks[0]["hooks"]}
    makefile = (ROOT / "Makefile").read_text()
    for tool in ("ruff", "mypy", "codespell"):
        assert f".venv/bin/{tool}" in commands and f"$(BIN)/{tool}" in makefile
        assert tool in pins("requirements-dev.txt")


def test_dvc_accepts_the_pipeline_and_its_stages_are_those_of_the_params(project: Project) -> None:
    listed = project.dvc("stage", "list", "--all", "--name-only").stdout.split()
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    trained = {f"{network.stage}@{seed}" for network in NETWORKS.values() for seed in params["seeds"]}
    evaluated = {f"{stage}@{mode}" for stage in ("evaluate", "cam") for mode in params["modes"]}
    others = {"plan", *(f"{stage}@{params['dataset']}" for stage in ("raw", "prepare"))}
    others |= {"views", "evaluate-untrained", "report"}
    assert set(listed) == others | trained | evaluated
    assert project.run("git", "status", "--porcelain").stdout == ""


def test_no_test_can_reach_the_network() -> None:
    with socket.socket(socket.AF_INET) as away, pytest.raises(AssertionError, match="tried to reach"):
        away.connect(("192.0.2.1", 80))


def test_dvc_rewrites_params_yaml_as_it_is_so_that_an_experiment_changes_one_line(tmp_path: Path) -> None:
    """DVC writes every list in block style."""
    from dvc.utils.hydra import apply_overrides

    text = (ROOT / "params.yaml").read_text()
    copy = tmp_path / "params.yaml"
    copy.write_text(text)
    apply_overrides(copy, [f"budget.passes={yaml.safe_load(text)['budget']['passes']}"])
    assert copy.read_text() == text
