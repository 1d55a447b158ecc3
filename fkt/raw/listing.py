"""The listing of raw files by names, sizes and times: changes are noticed without reading a file."""

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fkt.core.errors import plural
from fkt.core.files import write_json
from fkt.core.runs import listing_path, transfer_listing_path
from fkt.params import Params
from fkt.raw.datasets import DATASETS, source_folder, table_file
from fkt.raw.masks import masks_folder
from fkt.raw.trees import files_below


def update(params: Params, dataset: str) -> str:
    """Write the listing of a dataset if its raw files have changed, and return a sentence about that.

    The listing stays as it is where the raw files are not: in a clone, or in the folder of a queued experiment.
    """
    path, roots = _path(params, dataset), _roots(params, dataset)
    if not roots:
        text = f"the raw images of {dataset} are not files of their own, and are not listed"
    elif not roots[0].is_dir():
        text = f"no raw files of {dataset} here; the listing stays as it is"
    else:
        now = _listed(roots, params.prepare.follow_links)
        text = _difference(_read(path), now) or f"{plural(now['files'], 'raw file')}, unchanged"
        if now != _read(path):
            write_json(path, now)
    if not path.is_file():
        write_json(path, {})
    return text


def changes(params: Params) -> list[str]:
    """Return a sentence for each dataset whose listing ``update`` would change. Writes nothing."""
    found = []
    for dataset in (params.dataset, *params.transfer.datasets):
        roots, before = _roots(params, dataset), _read(_path(params, dataset))
        if roots and roots[0].is_dir() and (text := _difference(before, _listed(roots, params.prepare.follow_links))):
            found.append(text)
    return found


def _path(params: Params, dataset: str) -> Path:
    return listing_path(dataset) if dataset == params.dataset else transfer_listing_path(dataset)


def _roots(params: Params, dataset: str) -> list[Path]:
    """Return the folder of the raw images, and of their masks, and their table; nothing if images are no files."""
    settings = params.prepare
    if not DATASETS[dataset].is_files:
        return []
    if dataset != params.dataset:
        return [source_folder(dataset, None)]
    source = source_folder(dataset, settings.source)
    masks = [masks_folder(source)] if settings.masks == "files" else []
    return [source, *masks, *([table_file(source, settings.table)] if settings.table else [])]


def _listed(roots: Sequence[Path], follow_links: bool) -> dict[str, Any]:
    """Return the number of files and bytes, and a digest of all names, sizes and times of change."""
    files, size, digest = 0, 0, hashlib.sha256()
    for root in roots:
        start = len(os.fspath(root))
        for path in [root] if root.is_file() else files_below(root, follow_links)[0]:
            with suppress(OSError):  # a link to nothing, or a file that was removed meanwhile
                if not path.name.startswith("."):  # file managers leave such files
                    found, name = path.stat(), os.fsencode(path)[start:]
                    digest.update(b"%s\0%d %d\0" % (name, found.st_size, found.st_mtime_ns))
                    files, size = files + 1, size + found.st_size
    return {"files": files, "bytes": size, "digest": digest.hexdigest()[:32]}


def _read(path: Path) -> dict[str, Any]:
    """Return a stored listing; nothing if there is none, or a damaged one."""
    with suppress(OSError, ValueError):
        stored = json.loads(path.read_text(encoding="utf-8"))
        return stored if isinstance(stored, dict) else {}
    return {}


def _difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Return what differs between two listings as a sentence; an empty one if nothing does."""
    if not before:
        return f"{plural(now['files'], 'raw file')}, listed for the first time"
    if before == now:
        return ""
    names = [name for name in ("files", "bytes") if before.get(name) != now[name]]
    parts = [f"{before.get(name, 0):,} {name} -> {now[name]:,}" for name in names]
    return f"raw files changed since they were prepared: {', '.join(parts) or 'other names or times'}"
