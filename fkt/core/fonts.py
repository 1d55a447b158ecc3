"""Which names the font of the figures can draw."""

from collections.abc import Sequence


def drawable(names: Sequence[str]) -> list[str]:
    """Return names of classes, those that matplotlib's own font cannot draw (Chinese, for example) as numbers."""
    from matplotlib import font_manager

    font = font_manager.get_font(font_manager.findfont("DejaVu Sans"))
    return [
        name if all(font.get_char_index(ord(letter)) for letter in name if not letter.isspace()) else f"class {number}"
        for number, name in enumerate(names)
    ]
