"""Choosing among 9! permutations takes a good part of a second, so the tests of one session do it once."""

import functools
from collections.abc import Iterator

import pytest

from fkt.ssl.pretext.puzzles import distant_permutations


@pytest.fixture(autouse=True, scope="session")
def _cached_permutations() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fkt.ssl.jigsaw_pp.distant_permutations", functools.cache(distant_permutations))
        yield
