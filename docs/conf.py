"""How ``make docs`` builds the documentation. Its pages need no network; they and their search open from the disk."""

project = "fkt"
author = "the fkt developers"
html_title = "fkt"
extensions = ["myst_parser"]
exclude_patterns = ["**/__pycache__"]

myst_heading_anchors = 3  # links to headings, as on GitHub
nitpicky = True

html_theme = "furo"
html_use_index = html_copy_source = html_show_sourcelink = html_show_sphinx = html_show_copyright = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "friendly"
pygments_dark_style = "monokai"
