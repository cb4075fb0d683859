"""HDF5 data loading for training, planned ahead after SOLAR; h5py, numba, torch load in workers."""

from workloads.solar.workload import WORKLOAD

__all__ = ["WORKLOAD"]
