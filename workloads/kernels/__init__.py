"""What the workloads' compiled kernels are made of."""
