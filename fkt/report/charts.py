"""Charts of the page: positions in percent of an axis, and learning curves as SVG. No drawing library."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from fkt.core.arms import PALETTE
from fkt.report.statistics import Comparison

PANELS = {
    "val_accuracy": "Validation accuracy (%)",
    "val_loss": "Validation cross-entropy",
    "ce": "Training cross-entropy",
    "ssl": "Self-supervised loss",
    "pseudo": "Cross-entropy on clusters",
    "grad_cosine": "Cosine of the two gradients",
    "grad_norm_ratio": "Gradient norm, SSL / CE (log scale)",
    "weight_ssl": "Weight of the self-supervised loss",
}
"""Columns of the learning curves, and their labels. The last three are of the joint run."""
NEUTRAL = {"grad_cosine": 0.0, "grad_norm_ratio": 1.0}
"""Value at which the two gradients are orthogonal, or equally large."""
WIDTH, HEIGHT = 380, 230
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 10, 36
"""Size and margins of a panel, in units of SVG."""


@dataclass(frozen=True)
class Axis:
    """A linear axis. Numbers are placed on it in percent of its length."""

    low: float
    high: float
    ticks: list[float]

    def place(self, value: float) -> float:
        """Return where a value is, in percent; values outside are at the ends."""
        share = (value - self.low) / (self.high - self.low)
        return round(100 * min(1.0, max(0.0, share)), 2)

    def shows(self, value: float) -> bool:
        """Return whether a value is on the axis."""
        return self.low <= value <= self.high


def axis(values: Sequence[float], count: int = 6) -> Axis:
    """Return an axis with about ``count`` round ticks that shows all values."""
    low, high = min(values), max(values)
    reach = (high - low) or abs(high) or 1.0
    rough = reach / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(size * power for size in (1, 2, 5, 10) if size * power >= rough)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [round(number * step, 10) for number in range(first, max(last, first + 1) + 1)]
    return Axis(ticks[0], ticks[-1], ticks)


def log_axis(values: Sequence[float]) -> Axis:
    """Return an axis of logarithms to base 10 that shows all values, with ticks at 1, 2 and 5 times powers of ten."""
    low, high = min(values), max(values)
    powers = range(math.floor(low), math.ceil(high) + 2)
    every = [power + math.log10(step) for power in powers for step in (1, 2, 5)]
    first = max(at for at, tick in enumerate(every) if tick <= low + 1e-9)
    last = min(at for at, tick in enumerate(every) if tick >= high - 1e-9)
    ticks = every[first : max(last, first + 1) + 1]
    return Axis(ticks[0], ticks[-1], ticks)


def difference_axis(found: Sequence[Comparison], margin: float) -> Axis:
    """Return the axis of differences in points. It shows 0, the margin and all seeds, and intervals of a similar size.

    An interval of few seeds can be many times as wide as what the seeds show; it is cut at the ends of the axis.
    """
    seeds = [100 * value for one in found for value in one.by_seed] + [-margin, margin]
    reach = 1.5 * max(map(abs, seeds))
    ends = [max(-reach, min(reach, 100 * end)) for one in found for end in (one.low, one.high)]
    return axis([*seeds, *ends])


def curve_panels(curves: pd.DataFrame) -> list[tuple[str, Markup]]:
    """Return title and SVG of each column of PANELS that has numbers and changes.

    curves: see ``curve_rows``. A thin line is one seed, a thick line the mean over seeds.
    """
    frame = curves.assign(val_accuracy=100 * curves["val_accuracy"])
    panels = []
    for name, title in PANELS.items():
        own = frame.dropna(subset=[name])
        own = own[np.isfinite(own[name])]
        constant = name == "weight_ssl" and own.groupby(["mode", "seed"])[name].nunique().le(1).all()
        if len(own) and not constant:
            panels.append((title, _panel(own, name, title, float(frame["passes"].max()))))
    return panels


def _panel(frame: pd.DataFrame, name: str, title: str, longest: float) -> Markup:
    log = name == "grad_norm_ratio" and bool((frame[name] > 0).all())
    values = np.log10(frame[name]) if log else frame[name]
    neutral = NEUTRAL.get(name)
    marks = [] if neutral is None else [math.log10(neutral) if log else neutral]
    span = [float(values.min()), float(values.max()), *marks]
    across, up = axis([0.0, longest]), log_axis(span) if log else axis(span, 5)

    def x(passes: float) -> float:
        return LEFT + (passes - across.low) / (longest * 1.02 - across.low) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (value - up.low) / (up.high - up.low) * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
        f'<text x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{10**tick if log else tick:.3g}</text>'
        for tick in up.ticks
    ]
    parts += [
        f'<text x="{x(tick):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{tick:g}</text>'
        for tick in across.ticks
        if tick <= longest * 1.02
    ]
    parts += [
        f'<line class="zero" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(mark):.1f}" y2="{y(mark):.1f}"/>' for mark in marks
    ]
    ends = []
    for mode, of_mode in frame.assign(drawn=values).groupby("mode", sort=False):
        lines = []
        by_seed = [group for _, group in of_mode.groupby("seed", sort=False)]
        shared = min(map(len, by_seed))
        for group in by_seed if len(by_seed) > 1 else []:
            lines.append(_line(map(x, group["passes"]), map(y, group["drawn"]), "seed"))
        passes, mean = (
            np.mean([group[key].to_numpy()[:shared] for group in by_seed], axis=0) for key in ("passes", "drawn")
        )
        lines.append(_line(map(x, passes), map(y, mean), "mean"))
        parts.append(f'<g data-arm="{escape(mode)}" style="stroke:{PALETTE[str(mode)]}">{"".join(lines)}</g>')
        last = 10 ** mean[-1] if log else mean[-1]
        ends.append(f"{mode} ends at {last:.3g}")
    label = f"{title} over image passes for each training image. {'; '.join(ends)}."
    middle = (LEFT + WIDTH - RIGHT) / 2
    caption = f'<text x="{middle}" y="{HEIGHT - 4}" text-anchor="middle">image passes per training image</text>'
    return Markup(  # noqa: S704 - numbers, names of arms and our own words
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">{"".join(parts)}{caption}</svg>'
    )


def _line(across: "map[float]", up: "map[float]", kind: str) -> str:
    points = " ".join(f"{one:.1f},{other:.1f}" for one, other in zip(across, up, strict=True))
    return f'<polyline class="{kind}" points="{points}"/>'
