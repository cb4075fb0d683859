"""The torch variants: how negatives are drawn and how the tables change."""

from __future__ import annotations

from harness.protocols import Device
from workloads.heat.torch_trainer import Algorithm, TorchTrainer
from workloads.heat.training import Training


def dense(training: Training, device: Device) -> TorchTrainer:
    """Return the trainer of `torch`: dense Adam, negatives for each interaction."""
    algorithm = Algorithm(shared=False, sparse=False, batch=1024)
    return TorchTrainer(training, algorithm, device.torch_device())


def sparse(training: Training, device: Device) -> TorchTrainer:
    """Return the trainer of `torch-sparse`: SGD on rows, negatives for each interaction."""
    algorithm = Algorithm(shared=False, sparse=True, batch=1024)
    return TorchTrainer(training, algorithm, device.torch_device())


def shared(training: Training, device: Device) -> TorchTrainer:
    """Return the trainer of `torch-shared`: dense Adam, negatives shared by the batch."""
    algorithm = Algorithm(shared=True, sparse=False, batch=256)
    return TorchTrainer(training, algorithm, device.torch_device())


def shared_sparse(training: Training, device: Device) -> TorchTrainer:
    """Return the trainer of `torch-shared-sparse`: SGD on rows, negatives shared by the batch."""
    algorithm = Algorithm(shared=True, sparse=True, batch=256)
    return TorchTrainer(training, algorithm, device.torch_device())
