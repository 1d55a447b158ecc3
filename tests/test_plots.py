"""The page of ``dvc plots``: drawn in a browser without a network, from the committed results."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from dvc_render.html import PAGE_HTML
from dvc_render.vega import VegaRenderer

from tests.conftest import BROWSER, ROOT, Project

PAGE = (ROOT / ".dvc/plots/page.html").read_text(encoding="utf-8")
PLOTS = [plot for plot in yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"] if isinstance(plot, dict)]
LIST_REQUESTS = """<script>
setTimeout(() => { document.title = performance.getEntriesByType("resource").map(one => one.name).join(" "); }, 5000);
</script>"""


def opened(page: Path, scratch: Path) -> tuple[int, list[str], list[str]]:
    """Number of drawn plots, errors in the console, and addresses that the page asked for beside its folder."""
    page.write_text(page.read_text(encoding="utf-8") + LIST_REQUESTS, encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--virtual-time-budget=20000"]
    options += ["--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={scratch / 'profile'}", "--dump-dom"]
    command = [str(BROWSER), *options, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
    errors = [line for line in done.stderr.splitlines() if "CONSOLE" in line and "current version" not in line]
    asked = re.findall("<title>(.*?)</title>", done.stdout)[0].split()
    return done.stdout.count("<canvas"), errors, [name for name in asked if not name.startswith(page.parent.as_uri())]


def test_the_page_has_the_scripts_that_dvc_asks_for() -> None:
    wanted = re.findall(r"npm/([a-z-]+@[\d.]+)", VegaRenderer.SCRIPTS)
    assert re.findall(r'<script data-package="(.+?)">', PAGE) == wanted, "take them from npm, as page.html says"
    assert "Redistributions in binary form must reproduce" in PAGE and "{scripts}" not in PAGE


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium or Chrome here")
def test_every_plot_is_drawn_without_a_network(project: Project, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "metrics", project.root / "metrics", ignore=shutil.ignore_patterns("runs", "logs", "maps"))
    project.commit("results")
    curves = project.root / "metrics/curves.csv"  # another revision: the first seed alone, which has no deviation
    lines = curves.read_text().splitlines(keepends=True)
    curves.write_text("".join(line for line in lines if line.split(",")[1] in ("seed", "0")))
    project.dvc("plots", "diff", "-o", "elsewhere/ours")
    page = project.root / "elsewhere/ours/index.html"
    assert opened(page, tmp_path) == (len(PLOTS), [], [])

    (tmp_path / "dvc.html").write_text(PAGE_HTML)
    project.dvc("plots", "show", "-o", "elsewhere/dvc", "--html-template", str(tmp_path / "dvc.html"))
    drawn, errors, asked = opened(project.root / "elsewhere/dvc/index.html", tmp_path)
    assert drawn == 0 and errors and len(asked) == 3, "DVC's own page is seen to need a network"
