"""``fkt check --deep``: read every file of DVC's cache, and compare it with the md5 that it is named by."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import yaml

from fkt.core.errors import CorruptData, UserError, plural


def check_cache() -> str:
    """Return a sentence about a sound cache. Raise CorruptData with a line for each damaged file."""
    command = [sys.executable, "-m", "dvc", "cache", "dir"]
    found = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 - our own arguments
    if found.returncode:
        raise UserError(f"DVC has no cache here: {found.stderr.strip()}; run from the project's root")
    files = sorted(Path(found.stdout.strip(), "files", "md5").glob("??/*"))
    damaged = {path: path.parent.name + path.name for path in files if not _is_sound(path)}
    if damaged:
        names = _outputs(files)
        lines = [f"{path} ({names.get(md5, 'of an earlier run')})" for path, md5 in damaged.items()]
        remedy = "delete these files; 'dvc fetch' gets them from a remote, 'dvc repro --force -s STAGE' makes them anew"
        title = f"DVC's cache: {len(damaged)} of {plural(len(files), 'file')} damaged"
        raise CorruptData("\n       ".join([title, *lines, remedy]))
    return f"DVC's cache: {plural(len(files), 'file')}, all as DVC wrote them"


def _is_sound(path: Path) -> bool:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest() == (path.parent.name + path.name).removesuffix(".dir")


def _outputs(files: list[Path]) -> dict[str, str]:
    """Return md5 -> path in the project, for the outputs that dvc.lock has, and the files in them."""
    lock = Path("dvc.lock")
    stages = yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"] if lock.is_file() else {}
    named = {out["md5"]: out["path"] for stage in stages.values() for out in stage.get("outs", []) if "md5" in out}
    folders = {path.parent.name + path.name: path for path in files if path.suffix == ".dir" and _is_sound(path)}
    for md5 in named.keys() & folders.keys():
        content = json.loads(folders[md5].read_text(encoding="utf-8"))
        named |= {item["md5"]: f"{named[md5]}/{item['relpath']}" for item in content}
    return named
