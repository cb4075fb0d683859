"""asv's benchmark directory: `asv run` finds here what is registered with Assay.

asv imports this file from the checkout, and all the rest of Assay from the commit that it measures.
Another project's own benchmark directory is one line: `from dashboards.suite import *`.
"""

from __future__ import annotations

from dashboards.asv_suite import make_benchmarks
from harness.registry import installed

# asv looks for functions in the modules of this folder and takes each one's name from the function.
globals().update(make_benchmarks(installed()))
