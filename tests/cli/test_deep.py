"""``fkt check --deep`` on a cache of DVC that has rotted."""

from tests.conftest import Project


def test_a_damaged_file_of_the_cache_is_named_with_its_output(project: Project) -> None:
    (project.root / "code.txt").write_text("whole")
    (project.root / "dvc.yaml").write_text("stages: {one: {cmd: 'mkdir out; cp code.txt out/a', outs: [out]}}")
    project.dvc("repro")
    assert "DVC's cache: 2 files, all as DVC wrote them" in project.python("fkt", "check", "--deep").stdout
    (cached,) = [path for path in project.root.glob(".dvc/cache/files/md5/??/*") if path.read_bytes() == b"whole"]
    cached.chmod(0o644)
    cached.write_text("whale")
    said = project.python("fkt", "check", "--deep", check=False)
    assert said.returncode == 1 and f"1 of 2 files damaged\n       {cached} (out/a)\n" in said.stderr
