"""How Sphinx builds the documentation: `make docs`."""

from __future__ import annotations

import sys
from pathlib import Path

import batchwright

HERE = Path(__file__).parent

project = "batchwright"
author = "The batchwright authors"
version = release = batchwright.__version__
copyright = author  # the name that Sphinx asks for

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build", "README.md"]
myst_enable_extensions = ["colon_fence", "deflist", "attrs_inline", "attrs_block"]
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_mock_imports = [
    "accelerate",
    "ignite",
    "lightning",
    "ray",
    "sentence_transformers",
    "torchdata",
    "torchtitan",
    "transformers",
]  # adapters need not run here
autosummary_generate = True
napoleon_use_ivar = True  # an attribute that a docstring describes may be a property too, which is described once
napoleon_use_rtype = False
default_role = "code"  # docstrings mark code by single backticks

html_theme = "furo"
html_title = "batchwright"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#2a6ca8", "color-brand-content": "#2a6ca8"},
    "dark_css_variables": {"color-brand-primary": "#7db7ea", "color-brand-content": "#7db7ea"},
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
html_show_sourcelink = False


def setup(app: object) -> None:
    """Write what follows from the source: the page of all messages, and the pictures."""
    sys.path.insert(0, str(HERE))
    import messages
    import pictures

    pictures.main()
    messages.write(HERE / "messages.md")
