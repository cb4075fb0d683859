"""The problems that every device is measured on; importing one loads neither torch nor numba."""
