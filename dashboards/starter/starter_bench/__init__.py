"""Workloads of starter-bench, measured with Assay."""
