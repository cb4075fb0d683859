"""Sparse matrix-vector products in partial formats after MSREP; torch and numba load in workers."""

from workloads.msrep.workload import WORKLOAD

__all__ = ["WORKLOAD"]
