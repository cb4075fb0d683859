from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch.utils.data import DataLoader

from harness.errors import AssayError
from tests.workloads.solar.plans import KeepFirst
from workloads.solar.epoch_plan import Training
from workloads.solar.layout import SampleFile, sample_file
from workloads.solar.torch_loader import TorchLoader

TRAINING = Training(samples=40, batch=12, ranks=2, slots=5, epochs=2, seed=0)


@pytest.fixture
def file(tmp_path: Path) -> SampleFile:
    with h5py.File(tmp_path / "a.h5", "w") as opened:
        opened["x"] = np.random.default_rng(0).normal(size=(40, 3, 2)).astype("f4")
        opened["y"] = np.arange(40)
    return sample_file(tmp_path / "a.h5")


def _contents(file: SampleFile) -> dict[str, torch.Tensor]:
    with h5py.File(file.path) as opened:
        return {name: torch.from_numpy(opened[name][()]) for name in file.names}


def test_a_torch_dataloader_without_workers_passes_the_batches_on(file: SampleFile) -> None:
    contents = _contents(file)
    seen: list[int] = []
    loaders = [TorchLoader(file, KeepFirst(TRAINING), rank=rank) for rank in range(2)]
    for loader in loaders:
        batches = list(DataLoader(loader, batch_size=None, num_workers=0))
        assert len(batches) == len(loader) == 4
        for x, y in batches:
            assert torch.equal(x, contents["x"][y])
            seen += y.tolist()
        loader.close()
    assert sorted(seen) == list(range(40))


@pytest.mark.parametrize("device", [None, "cpu"])
def test_batches_keep_their_values_when_later_ones_are_read(
    file: SampleFile, device: str | None
) -> None:
    loader = TorchLoader(file, KeepFirst(TRAINING), device=device)
    kept = [y for _, y in loader]
    assert len({sample for y in kept for sample in y.tolist()}) == 20
    loader.close()


def test_each_iteration_is_an_epoch_and_the_last_has_none_after_it(file: SampleFile) -> None:
    loader = TorchLoader(file, KeepFirst(TRAINING))
    assert [len(list(loader)) for _ in range(3)] == [4, 4, 0]
    loader.close()


def test_without_copy_the_tensors_share_the_memory_that_is_filled_again(file: SampleFile) -> None:
    loader = TorchLoader(file, KeepFirst(TRAINING), copy=False)
    addresses = {x.data_ptr() for x, _ in loader}
    assert len(addresses) <= 4
    kept = [y for _, y in loader]
    assert len({tuple(y.tolist()) for y in kept}) <= 4
    loader.close()


def test_a_training_is_taken_up_by_its_state(file: SampleFile) -> None:
    loader = TorchLoader(file, KeepFirst(TRAINING))
    batches = iter(loader)
    next(batches)
    state = loader.state_dict()
    rest = [y.tolist() for _, y in batches]
    other = TorchLoader(file, KeepFirst(TRAINING))
    other.load_state_dict(state)
    assert [y.tolist() for _, y in other] == rest
    loader.close()
    other.close()


def test_a_dtype_that_torch_does_not_have_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as opened:
        opened["names"] = np.array([b"a"] * 40)
    with pytest.raises(AssayError, match="torch has no type for 'names'"):
        TorchLoader(sample_file(tmp_path / "a.h5"), KeepFirst(TRAINING))


def test_worker_processes_are_refused(file: SampleFile) -> None:
    loader = DataLoader(TorchLoader(file, KeepFirst(TRAINING)), batch_size=None, num_workers=1)
    with pytest.raises(AssayError, match="num_workers=0"):
        list(loader)


@pytest.mark.gpu
def test_batches_reach_a_cuda_device_whole(file: SampleFile) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device, to which page-locked memory is copied")
    contents = _contents(file)
    loader = TorchLoader(file, KeepFirst(TRAINING), device="cuda")
    batches = list(loader)
    for x, y in batches:
        assert x.is_cuda
        assert torch.equal(x.cpu(), contents["x"][y.cpu()])
    loader.close()
