"""The spectral residual of Hou & Zhang (CVPR 2007), frequency by frequency and pixel by pixel."""

import cmath
import itertools
import math

Grid = list[list[float]]


def spectral_residual(image: Grid, sigma: float, weakest: float) -> Grid:
    """Return the spectral residual of a square image. weakest: lower bound of the amplitudes in the logarithm."""
    size = len(image)
    places = list(itertools.product(range(size), repeat=2))

    def wave(u: int, v: int, y: int, x: int) -> complex:
        return cmath.exp(2j * math.pi * (u * y + v * x) / size)

    spectrum = {
        (u, v): sum(image[y][x] * wave(u, v, y, x).conjugate() for y, x in places) for u, v in places
    }  # fmt: skip
    log_amplitude = {place: math.log(max(abs(value), weakest)) for place, value in spectrum.items()}

    def inside(index: int) -> int:
        return min(max(index, 0), size - 1)

    back: Grid = [[0.0] * size for _ in range(size)]
    residual = {}
    for u, v in places:
        around = [log_amplitude[inside(u + i), inside(v + j)] for i in (-1, 0, 1) for j in (-1, 0, 1)]
        phase = cmath.phase(spectrum[u, v])
        residual[u, v] = cmath.exp(math.log(abs(spectrum[u, v])) - sum(around) / 9 + 1j * phase)
    for y, x in places:
        value = sum(residual[u, v] * wave(u, v, y, x) for u, v in places) / size**2
        back[y][x] = abs(value) ** 2
    return smoothed(back, sigma)


def smoothed(image: Grid, sigma: float) -> Grid:
    """Return the image after a normalized Gaussian filter, cut off at four deviations, with zeros outside."""
    size, reach = len(image), int(4 * sigma + 0.5)
    weights = [math.exp(-0.5 * (offset / sigma) ** 2) for offset in range(-reach, reach + 1)]
    total = sum(weights)
    found: Grid = [[0.0] * size for _ in range(size)]
    for y, x in itertools.product(range(size), repeat=2):
        for i, j in itertools.product(range(-reach, reach + 1), repeat=2):
            if 0 <= y + i < size and 0 <= x + j < size:
                found[y][x] += image[y + i][x + j] * weights[i + reach] * weights[j + reach] / total**2
    return found
