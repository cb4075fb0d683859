"""The PyTorch baselines: they deliver what is in the file, and the sweep finds the fastest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch")

import torch

from workloads.solar import torch_sweep
from workloads.solar.generate import Layout, generate
from workloads.solar.shapes import sample
from workloads.solar.torch_dataloader import (
    DEFAULT,
    BatchLoader,
    LoaderSettings,
    batches,
    is_chunked,
)
from workloads.solar.torch_sweep import best, candidates, sweep

SAMPLES, BATCH, SEED = 23, 5, 7
NAMES = ("full", "unitPar")

# Forking is what PyTorch does unless told otherwise; newer Pythons warn where threads run.
pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("solar") / "train.h5"
    generate(path, "cosmoflow-32", SAMPLES, layout=Layout(4), seed=SEED)
    return path


def shuffled(seed: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).permutation(SAMPLES)


def assert_delivers(
    delivered: Iterator[tuple[torch.Tensor, ...]], order: NDArray[np.int64]
) -> None:
    steps = list(delivered)
    assert [len(step[0]) for step in steps] == [5, 5, 5, 5, 3]
    got = [torch.cat(parts).numpy() for parts in zip(*steps, strict=True)]
    expected = [sample("cosmoflow-32", SEED, int(index)) for index in order]
    for values, of_dataset in zip(got, zip(*expected, strict=True), strict=True):
        np.testing.assert_array_equal(values, np.stack(of_dataset))


@pytest.mark.parametrize(
    "settings",
    [
        DEFAULT,
        LoaderSettings(batched=True),
        LoaderSettings(cache_bytes=0, batched=True),
        LoaderSettings(workers=2, persistent=True, prefetch=2, batched=True),
        LoaderSettings(workers=1),
    ],
    ids=str,
)
def test_every_epoch_comes_in_its_own_order(path: Path, settings: LoaderSettings) -> None:
    loader = BatchLoader(path, NAMES, BATCH, settings)
    for epoch in range(2):
        assert_delivers(loader.epoch(shuffled(epoch)), shuffled(epoch))


def test_a_single_epoch_needs_one_call(path: Path) -> None:
    assert_delivers(batches(path, NAMES, shuffled(3), BATCH), shuffled(3))


def test_scalar_and_big_endian_samples_come_as_tensors_of_this_machine(tmp_path: Path) -> None:
    path = tmp_path / "train.h5"
    with h5py.File(path, "w") as file:
        file["label"] = np.arange(4, dtype="int64")
        file["field"] = np.arange(8, dtype=">f4").reshape(4, 2)
    order = np.array([2, 0, 3, 1])
    for settings in (DEFAULT, LoaderSettings(batched=True)):
        [(labels, fields)] = batches(path, ("label", "field"), order, 4, settings)
        assert labels.tolist() == [2, 0, 3, 1]
        assert (fields.dtype, fields.tolist()[0]) == (torch.float32, [4.0, 5.0])


def test_the_default_is_what_pytorch_does_unless_told(path: Path) -> None:
    assert str(DEFAULT) == "0 workers, sample by sample"


def test_the_candidates_are_all_combinations_with_workers_that_stay() -> None:
    tried = candidates()
    assert tried[0] == DEFAULT
    assert len(set(tried)) == len(tried) == 6 + 3 * 2 * 6
    assert all(told.persistent == (told.workers > 0) for told in tried)
    assert {told.cache_bytes for told in candidates(chunked=False)} == {None}
    assert {told.pin for told in candidates(pin=True)} == {True}


def test_the_best_of_the_sweep_is_one_of_those_tried_and_reads_whole_batches(path: Path) -> None:
    dropped: list[int] = []
    tried = candidates(workers=(0,))
    timed = sweep(path, NAMES, shuffled(0), BATCH, tried=tried, before=lambda: dropped.append(1))
    assert sorted(told.rounds for told in timed) == [1, 1, 1, 2, 3, 3]
    assert len(dropped) == 6 + 3 + 2
    assert {told.settings for told in timed} == set(tried)
    assert all(told.sample_s > 0 for told in timed)


def test_the_sweep_finds_the_fastest_although_others_lead_now_and_then(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(0)
    now = 0.0

    class Clocked:
        def __init__(self, _: Path, __: object, batch: int, settings: LoaderSettings) -> None:
            self.step_s = 1.0 + settings.workers

        def epoch(self, order: NDArray[np.int64]) -> Iterator[None]:
            nonlocal now
            now += self.step_s * len(order) * noise.uniform(0.8, 1.2)
            yield

    monkeypatch.setattr(torch_sweep, "BatchLoader", Clocked)
    tried = [LoaderSettings(workers=count) for count in (4, 2, 0, 1)]
    timed = sweep(path, NAMES, shuffled(0), BATCH, tried=tried, clock=lambda: now)
    assert [told.settings.workers for told in timed] == [0, 1, 2, 4]
    assert timed[0].sample_s == pytest.approx(1.0, rel=0.2)


def test_a_contiguous_file_has_no_chunk_cache_to_try(path: Path, tmp_path: Path) -> None:
    contiguous = tmp_path / "train.h5"
    generate(contiguous, "cosmoflow-32", 2, layout=Layout(), seed=0)
    assert is_chunked(path, NAMES)
    assert not is_chunked(contiguous, NAMES)


def test_best_names_its_choice_in_words(path: Path) -> None:
    tried = [LoaderSettings(workers=1, persistent=True, prefetch=8, cache_bytes=0, batched=True)]
    chosen = best(path, NAMES, shuffled(0), BATCH, tried=tried)
    assert str(chosen) == (
        "1 worker, persistent, 8 batches ahead each, a batch at once, chunk cache 0 B"
    )
