from importlib.metadata import version as _version

project = "Assay"
copyright = "the Assay developers"
version = release = _version("assay")
extensions = ["myst_parser"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "Assay"
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
