"""Settings of Sphinx for the pages in this folder; docs/build.py runs it."""

from __future__ import annotations

project = "hosting.alembic"
author = "hosting.alembic contributors"
project_copyright = author
root_doc = "docs/index"

extensions = ["myst_parser", "sphinx_antsibull_ext"]
# A link to a heading counts as a link to a page: one that leads nowhere is a warning, and a warning fails the build.
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
nitpicky = True
# What ansible-core documents is on another site, and the build reaches none.
nitpick_ignore_regex = [("std:ref", r"ansible_collections\.ansible\..*|action_plugins|common_return_values")]

html_theme = "furo"
html_title = "hosting.alembic"
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
pygments_style = "default"
# Ansible's own marks and the output of commands have no highlighting.
highlight_language = "none"
