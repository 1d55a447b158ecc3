"""The activation maps of a mode, read back as the cam stage stored them; no torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fkt.core.runs import maps_path
from fkt.report.run_files import read_npz


@dataclass(frozen=True)
class DrawnMaps:
    """The activation maps of one mode; predictions are absent where the model has no classes."""

    mode: str
    method: str
    layer: str
    side: int
    """Positions on the shorter side of the feature map."""
    target: str | None
    """The class whose evidence is drawn: predicted or true; None where there are no classes."""
    ids: NDArray[np.int64]
    images: NDArray[np.uint8]
    """(M, H, W, C)."""
    labels: NDArray[np.int64]
    maps: NDArray[np.float32]
    """(M, H, W) in [0, 1]."""
    predicted: NDArray[np.int64] | None
    confidence: NDArray[np.float32] | None


def read_maps(mode: str) -> DrawnMaps:
    """Read the activation maps of a mode. Raises MissingResult."""
    stored = read_npz(maps_path(mode), f"cam@{mode}")
    return DrawnMaps(
        mode=mode,
        method=str(stored["method"]),
        layer=str(stored["layer"]),
        side=int(stored["side"]),
        target=str(stored["target"]) if "target" in stored else None,
        ids=stored["ids"],
        images=stored["images"],
        labels=stored["labels"],
        maps=stored["maps"],
        predicted=stored.get("predicted"),
        confidence=stored.get("confidence"),
    )
