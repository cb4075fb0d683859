"""The simulated file system against times that can be worked out by hand, and its bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from harness.errors import AssayError
from workloads.solar.simulated import SimulatedFilesystem

SIZES = st.lists(st.integers(1, 1 << 24), max_size=40).map(lambda told: np.array(told, np.int64))


def of(*sizes: int) -> NDArray[np.int64]:
    return np.array(sizes, np.int64)


def test_a_request_takes_its_latency_and_its_bytes() -> None:
    storage = SimulatedFilesystem(latency_s=1.0, rank_bandwidth=10.0, total_bandwidth=100.0)
    assert storage.delay(of(20)) == 3.0


def test_requests_one_at_a_time_each_wait() -> None:
    storage = SimulatedFilesystem(1.0, 10.0, 100.0, queue_depth=1)
    assert storage.delay(of(20, 20, 20)) == 9.0


def test_requests_under_way_together_share_a_latency_but_not_the_link() -> None:
    storage = SimulatedFilesystem(1.0, 10.0, 100.0, queue_depth=3)
    assert storage.delay(of(20, 20, 20)) == 7.0


def test_a_queue_that_is_deep_enough_hides_all_latencies_but_the_first() -> None:
    storage = SimulatedFilesystem(1.0, 10.0, 100.0, queue_depth=2)
    assert storage.delay(of(*[20] * 50)) == pytest.approx(1.0 + 50 * 2.0)


def test_ranks_that_ask_for_the_same_share_the_storage() -> None:
    storage = SimulatedFilesystem(1.0, 10.0, 20.0, ranks=4, queue_depth=8)
    assert storage.delay(of(20)) == 1.0 + 4 * 20 / 20.0


def test_a_rank_that_asks_for_more_has_the_storage_to_itself_in_the_end() -> None:
    storage = SimulatedFilesystem(0.0, 1e9, 10.0, ranks=2)
    np.testing.assert_allclose(storage.seconds([of(10), of(30)]), [2.0, 4.0])


def test_an_uneven_step_takes_longer_than_an_even_one_over_the_ranks_links() -> None:
    storage = SimulatedFilesystem(0.0, 10.0, 1e9, ranks=2)
    assert storage.seconds([of(10), of(30)]).max() == 3.0
    assert storage.seconds([of(20), of(20)]).max() == 2.0


def test_who_asks_for_nothing_waits_for_nothing() -> None:
    storage = SimulatedFilesystem(1.0, 10.0, 10.0, ranks=2)
    np.testing.assert_array_equal(storage.seconds([of(), of(10)]), [0.0, 2.0])


@given(
    st.lists(SIZES, min_size=1, max_size=6),
    st.integers(1, 64),
    st.floats(0, 0.1),
    st.floats(1e6, 1e10),
    st.floats(1e6, 1e10),
)
def test_no_time_is_below_what_latency_and_bandwidths_allow(
    asked: list[NDArray[np.int64]], depth: int, latency_s: float, link: float, total: float
) -> None:
    storage = SimulatedFilesystem(latency_s, link, total, len(asked), depth)
    seconds = storage.seconds(asked)
    moved = np.array([sizes.sum() for sizes in asked])
    assert seconds.shape == (len(asked),)
    assert seconds.max() * (1 + 1e-9) >= moved.sum() / total
    for taken, sizes in zip(seconds * (1 + 1e-9), asked, strict=True):
        waves = -(-len(sizes) // depth)
        assert taken >= max(waves * latency_s, sizes.sum() / link)
    deeper = SimulatedFilesystem(latency_s, link, total, len(asked), depth + 1)
    assert np.all(deeper.seconds(asked) <= seconds * (1 + 1e-9))


def test_it_says_what_it_is() -> None:
    told = str(SimulatedFilesystem(0.0005, 2e9, 40e9, ranks=8, queue_depth=16))
    assert told == "simulated: 0.5 ms a request, 16 at once, 2 GB/s a rank, 40 GB/s for 8"


@pytest.mark.parametrize(
    ("latency_s", "link", "total", "ranks", "depth", "name"),
    [
        (-1.0, 1.0, 1.0, 1, 1, "latency_s"),
        (float("nan"), 1.0, 1.0, 1, 1, "latency_s"),
        (0.0, 0.0, 1.0, 1, 1, "rank_bandwidth"),
        (0.0, 1.0, -1.0, 1, 1, "total_bandwidth"),
        (0.0, 1.0, 1.0, 0, 1, "ranks"),
        (0.0, 1.0, 1.0, 1, 0, "queue_depth"),
    ],
)
def test_a_file_system_that_cannot_be_is_refused(
    latency_s: float, link: float, total: float, ranks: int, depth: int, name: str
) -> None:
    with pytest.raises(AssayError, match=f"simulated file system: {name}"):
        SimulatedFilesystem(latency_s, link, total, ranks, depth)
