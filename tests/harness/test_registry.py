"""Backends, workloads and variants are found by entry point and loaded on demand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.errors import AssayError
from harness.registry import Registry, installed
from harness.testing import FAKE_WORKLOAD


def test_our_own_are_registered_by_the_installed_distribution() -> None:
    found = installed()
    assert {"cpu", "arm", "cuda"} <= set(found.backends)
    assert {"heat", "msrep", "solar"} <= set(found.workloads)


def test_an_unknown_name_gives_the_nearest(fakes: Registry) -> None:
    with pytest.raises(AssayError, match="unknown backend 'fkae'; did you mean fake"):
        fakes.backend("fkae")


@pytest.mark.parametrize("path", ["no_such_module:X", "harness.testing:NO_SUCH"])
def test_a_broken_registration_is_one_line_with_the_fix(fakes: Registry, path: str) -> None:
    broken = replace(fakes, workloads={"broken": path})
    with pytest.raises(AssayError, match=r"workload 'broken' does not load .*uninstall"):
        broken.workload("broken")


def test_others_add_variants_to_a_workload(fakes: Registry) -> None:
    added = replace(fakes, variants={"fake/rich": "rich:get_console", "other/x": "nowhere:X"})
    names = [variant.name for variant in fakes.variants_of(FAKE_WORKLOAD)]
    assert names == [variant.name for variant in FAKE_WORKLOAD.variants]
    assert len(added.variants_of(FAKE_WORKLOAD)) == len(names) + 1


def test_a_variant_name_that_is_taken_is_refused(fakes: Registry) -> None:
    twice = replace(fakes, variants={"fake/exact": "harness.testing:FAKE_WORKLOAD"})
    with pytest.raises(AssayError, match="variant 'fake/exact' is registered twice"):
        twice.variants_of(FAKE_WORKLOAD)
