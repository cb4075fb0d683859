"""What `asv run` measures: every workload that is registered with Assay."""

from dashboards.suite import *  # noqa: F403
