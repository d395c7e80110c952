"""The site: `make docs`, or `sphinx-build -W --keep-going docs build/docs` where the group `docs` is installed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent / "_ext")]
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))  # for notebooks
os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"

import apex  # noqa: E402

project = "APEX"
author = "the APEX authors"
copyright = "the APEX authors, Apache-2.0"
release = version = apex.__version__

extensions = ["myst_nb", "sphinx_copybutton", "sphinx.ext.napoleon", "pages", "reference", "commands"]
exclude_patterns = ["_ext", "results/*.json*", "**.ipynb_checkpoints"]
default_role = "literal"                      # docstrings write `code`
add_module_names = False
toc_object_entries_show_parents = "hide"
suppress_warnings = ["config.cache"]

myst_enable_extensions = ["attrs_block", "attrs_inline", "colon_fence", "deflist", "smartquotes"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 60
nb_merge_streams = True

html_theme = "furo"
html_title = "APEX"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/mark.svg"
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "sidebar_hide_name": True,
    "light_logo": "logo-light.svg",
    "dark_logo": "logo-dark.svg",
    "light_css_variables": {"color-brand-primary": "#0b6e5f", "color-brand-content": "#0b6e5f",
                            "color-brand-visited": "#0b6e5f", "font-stack": "var(--apex-text)",
                            "font-stack--monospace": "var(--apex-code)"},
    "dark_css_variables": {"color-brand-primary": "#4fd1b5", "color-brand-content": "#4fd1b5",
                           "color-brand-visited": "#4fd1b5", "color-background-primary": "#101418",
                           "color-background-secondary": "#151b20", "color-background-border": "#252d34"},
}
pygments_style = "friendly"
pygments_dark_style = "github-dark"
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True
copybutton_line_continuation_character = "\\"
