"""`heat`: how fast matrix factorisation learns to recommend, on one machine."""

from workloads.heat.workload import WORKLOAD

__all__ = ["WORKLOAD"]
