from __future__ import annotations

import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

from harness import protocols
from harness.errors import AssayError
from harness.protocols import SIZES, Device
from harness.records import Case, Params, Variant
from workloads.heat import WORKLOAD
from workloads.heat.datasets import DATASETS
from workloads.heat.settings import PARAMETERS

BY_NAME = {variant.name: variant for variant in WORKLOAD.variants}
TORCH, HEAT, BLOCK = (BY_NAME[name] for name in ("torch", "heat", "block"))


def params(**changes: Any) -> Params:
    return {name: each.default for name, each in PARAMETERS.items()} | changes


SMALL = params(
    users=1_000, items=2_048, interactions=25_000, dim=32, negatives=8, epochs=8, margin=0.1,
    weight=3.0, batch=256, lr_adam=0.01,
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.txt").write_text("0 0 1\n1 1 2\n2 0 2\n")
    (tmp_path / "test.txt").write_text("0 2\n1 0\n2 1\n")
    return tmp_path


def test_planning_loads_neither_torch_nor_numba() -> None:
    code = (
        "import sys; from workloads.heat import WORKLOAD as w\n"
        "for size in ('ci', 'small', 'medium', 'paper'):\n"
        "    for case in w.cases(size):\n"
        "        params = w.check({n: p.default for n, p in w.parameters.items()} | dict(case))\n"
        "        [w.estimate_s(v, params) for v in w.variants]\n"
        "print(sorted({'torch', 'numba'} & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "protocol",
    [
        protocols.ChecksParams,
        protocols.EstimatesTime,
        protocols.SetsWorkerEnv,
        protocols.ResetsBeforeSample,
        protocols.DeclaresWork,
        protocols.MeasuresQuality,
        protocols.DescribesInputs,
        protocols.NamesDatasets,
    ],
)
def test_the_workload_takes_part_in(protocol: type) -> None:
    assert isinstance(WORKLOAD, protocol)


def test_the_workload_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        WORKLOAD.name = "cold"  # type: ignore[misc]


def test_torch_is_the_one_baseline() -> None:
    assert [variant.name for variant in WORKLOAD.variants if variant.baseline] == ["torch"]


def test_the_compiled_variants_run_on_hosts_only() -> None:
    for variant in WORKLOAD.variants:
        assert variant.requires == (set() if "torch" in variant.packages else {"host"})


@pytest.mark.parametrize("size", SIZES)
def test_the_cases_of_every_size_are_in_normal_form(size: str) -> None:
    cases = list(WORKLOAD.cases(size))
    assert cases
    for case in cases:
        assert set(case) <= set(PARAMETERS)
        whole = params(**case)
        assert WORKLOAD.check(whole) == whole


def test_the_ci_cases_fit_into_a_minute_with_their_sampling() -> None:
    cases = [(v, params(**case)) for case in WORKLOAD.cases("ci") for v in WORKLOAD.variants]
    assert len(cases) <= 8
    assert sum(WORKLOAD.estimate_s(*case) for case in cases) < 60


def test_larger_sizes_are_estimated_to_take_longer() -> None:
    for variant in WORKLOAD.variants:
        seconds = [
            max(WORKLOAD.estimate_s(variant, params(**case)) for case in WORKLOAD.cases(size))
            for size in SIZES
        ]
        assert seconds == sorted(seconds)


def test_a_variant_of_someone_else_is_estimated_like_the_baseline() -> None:
    theirs = Variant("theirs", run="theirs:run")
    assert WORKLOAD.estimate_s(theirs, params()) == WORKLOAD.estimate_s(TORCH, params())


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"dim": 1}, "dim=1 is out of range; use 2 to 4096"),
        ({"dim": 5_000}, "dim=5000"),
        ({"negatives": 0}, "negatives=0"),
        ({"epochs": 0}, "epochs=0"),
        ({"margin": 1.5}, "margin=1.5"),
        ({"margin": float("nan")}, "margin=nan"),
        ({"weight": 0.0}, "weight=0.0"),
        ({"weight": float("inf")}, "weight=inf"),
        ({"lr_sgd": 0.0}, "lr_sgd=0.0"),
        ({"lr_adam": -1.0}, "lr_adam=-1.0"),
        ({"batch": -1}, "batch=-1"),
        ({"lr_end": 1.5}, "lr_end=1.5"),
        ({"pooling": "max"}, "pooling=max is unknown; use mean, self-attention, user-attention"),
        ({"users": 0}, "users=0"),
        ({"items": 5}, "items=5"),
        ({"interactions": 100}, "interactions=100 is out of range; use 3000 to"),
        ({"interactions": 10**12}, "interactions=1000000000000"),
    ],
)
def test_nonsense_is_refused_in_one_line(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(AssayError, match=complaint.replace(".", r"\.")) as raised:
        WORKLOAD.check(params(**changes))
    assert "\n" not in str(raised.value)


def test_a_folder_replaces_the_shape(folder: Path) -> None:
    checked = WORKLOAD.check(params(data=str(folder)))
    assert (checked["users"], checked["items"], checked["interactions"]) == (0, 0, 0)
    assert WORKLOAD.check(checked) == checked
    assert WORKLOAD.estimate_s(HEAT, checked) > 0


def test_data_that_is_not_there_is_named_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(AssayError, match="no file or folder 'nowhere'"):
        WORKLOAD.check(params(data="nowhere"))
    with pytest.raises(AssayError, match=r"train\.txt is missing"):
        WORKLOAD.check(params(data=str(tmp_path)))


def test_a_data_set_is_found_by_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_DATA", str(folder.parent))
    assert WORKLOAD.check(params(data=folder.name))["data"] == folder.name


def test_a_bad_line_ends_the_preparation(folder: Path, device: Device) -> None:
    (folder / "train.txt").write_text("0 one\n")
    with pytest.raises(AssayError, match="line 1: 'one' is not an integer"):
        WORKLOAD.prepare(device, HEAT, WORKLOAD.check(params(data=str(folder))), 0)


@pytest.mark.parametrize("variant", WORKLOAD.variants, ids=lambda variant: variant.name)
def test_a_case_runs_from_its_parameters_to_its_quality(variant: Variant, device: Device) -> None:
    pytest.importorskip(next(iter(variant.packages)))
    state = WORKLOAD.prepare(device, variant, SMALL, seed=1)
    verification = WORKLOAD.verify(state)
    assert verification.passed, verification.detail
    for _ in range(2):
        WORKLOAD.before_sample(state)
        WORKLOAD.step(state)
    quality = WORKLOAD.quality(state).values
    assert set(quality) == {"recall@20", "ndcg@20"}
    assert 0.1 < quality["recall@20"] < 1
    facts = WORKLOAD.inputs(state)
    assert (facts["users"], facts["items"]) == (1_000, 2_048)
    assert facts["train_interactions"] == 25_000


def test_a_size_that_cannot_learn_fails_with_the_reason(folder: Path, device: Device) -> None:
    tiny = WORKLOAD.check(params(data=str(folder), dim=2, epochs=1))
    found = WORKLOAD.verify(WORKLOAD.prepare(device, HEAT, tiny, seed=1))
    assert not found.passed
    assert "train for more epochs" in found.detail


def test_one_interaction_counts_once_an_epoch(device: Device) -> None:
    work = WORKLOAD.work(WORKLOAD.prepare(device, HEAT, SMALL, seed=1))
    assert (work.items, work.item) == (200_000, "interaction")
    # 9 dot products, 9 lengths of items and one of the user, 2 x 32 operations each.
    assert work.flops == {"float32": 200_000 * 19 * 64.0}
    # 9 item rows and one user row are read; the user's and the positive's are written.
    assert work.bytes == {"memory": 200_000 * 12 * 32 * 4.0}
    assert work.working_set_bytes == (1_000 + 2_048) * 32 * 4 + 25_000 * 8


def test_shared_negatives_are_read_once_a_block_and_multiplied_in_few_bits(device: Device) -> None:
    state = WORKLOAD.prepare(device, BLOCK, params(**{**SMALL, "batch": 64}), seed=1)
    work = WORKLOAD.work(state)
    rows = 8 / 64
    assert sum(work.flops.values()) == 200_000 * 64.0 * (8 + 3 + rows)
    assert work.bytes == {"memory": 200_000 * (4 + rows) * 32 * 4.0}
    assert state.trainer.recipe()["products"] in work.flops  # type: ignore[attr-defined]


def test_a_slow_variant_is_timed_on_a_part_and_counts_that_part(
    device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path))
    sampled = params(**{**SMALL, "sampled": 2_500})
    state = WORKLOAD.prepare(device, TORCH, sampled, seed=1)
    assert WORKLOAD.verify(state).passed
    WORKLOAD.before_sample(state)
    WORKLOAD.step(state)
    assert WORKLOAD.work(state).items == 10 * 256
    assert "a step is 0.0128 of a training; optimiser Adam" in WORKLOAD.quality(state).detail
    assert WORKLOAD.quality(state).values["recall@20"] > 0.1
    # What the whole training learnt is known to the next worker, which need not train again.
    later = WORKLOAD.prepare(device, TORCH, sampled, seed=1)
    monkeypatch.setattr(type(later.trainer), "train", never)
    assert WORKLOAD.quality(later).values == WORKLOAD.quality(state).values
    # And the others are held against it, whole as their training is.
    block = WORKLOAD.prepare(device, BLOCK, sampled, seed=1)
    assert WORKLOAD.work(block).items == 200_000
    assert WORKLOAD.verify(block).passed
    assert set(WORKLOAD.quality(block).values) <= {
        "recall@20", "ndcg@20", "s_to_baseline_recall",
    }  # fmt: skip


def test_where_torch_is_known_others_must_reach_its_recall_whatever_their_own_settings(
    device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path))
    monkeypatch.setattr("workloads.heat.workload.GATED_INTERACTIONS", 25_000)
    plain = params(**{**SMALL, "batch": 0, "sampled": 2_500})
    torch = WORKLOAD.prepare(device, TORCH, plain, seed=1)
    assert WORKLOAD.verify(torch).passed
    needed = f"at least {0.98 * WORKLOAD.quality(torch).values['recall@20']:.4f} needed"
    changed = {"batch": 64, "tile": 64, "lr_sgd": 0.02}
    block = WORKLOAD.prepare(device, BLOCK, {**plain, **changed}, seed=1)
    assert needed in WORKLOAD.verify(block).detail
    # A torch that has another batch is held against it as well, itself against nothing.
    other = WORKLOAD.prepare(device, TORCH, {**plain, "batch": 512}, seed=1)
    assert needed in WORKLOAD.verify(other).detail
    assert needed not in WORKLOAD.verify(torch).detail


def test_variants_of_a_case_have_the_same_inputs_and_so_compare(device: Device) -> None:
    torch, block = (WORKLOAD.prepare(device, one, SMALL, seed=1) for one in (TORCH, BLOCK))
    assert WORKLOAD.inputs(torch) == WORKLOAD.inputs(block)


def never(trainer: object) -> None:
    raise AssertionError("the whole training is not repeated")


def test_a_history_is_for_torch_and_for_blocks() -> None:
    simplex = params(history=10, user_weight=0.5)
    for variant in WORKLOAD.variants:
        assert WORKLOAD.unsupported(variant, frozenset(), params()) is None
        told = WORKLOAD.unsupported(variant, frozenset(), simplex)
        assert (told is None) is not variant.name.startswith("heat")
    assert "block or block-float32" in str(WORKLOAD.unsupported(HEAT, frozenset(), simplex))
    attentive = {**simplex, "pooling": "self-attention"}
    assert WORKLOAD.unsupported(TORCH, frozenset(), attentive) is None
    assert "use pooling=mean" in str(WORKLOAD.unsupported(BLOCK, frozenset(), attentive))


def test_a_tile_is_read_once_for_as_long_as_it_is_used(device: Device) -> None:
    tiled = params(**{**SMALL, "tile": 64, "refresh": 1024})
    work = WORKLOAD.work(WORKLOAD.prepare(device, BY_NAME["heat-tile"], tiled, seed=1))
    assert work.bytes == {"memory": 200_000 * (4 + 64 / 1024) * 32 * 4.0}
    assert work.flops == {"float32": 200_000 * 19 * 64.0}


def test_so_large_a_block_that_its_pairs_fill_the_memory_is_refused() -> None:
    large = params(batch=1 << 20)
    assert "use a smaller batch" in str(WORKLOAD.unsupported(BLOCK, frozenset(), large))
    assert WORKLOAD.unsupported(TORCH, frozenset(), large) is None


def test_a_history_counts_its_rows_and_weights(device: Device) -> None:
    plain = params(**{**SMALL, "batch": 64})
    simplex = {**plain, "history": 10, "user_weight": 0.5}
    without, found = (
        WORKLOAD.work(WORKLOAD.prepare(device, BLOCK, given, seed=1)) for given in (plain, simplex)
    )
    assert found.flops["float32"] - without.flops.get("float32", 0) >= 200_000 * 6 * 32**2
    rows = (found.bytes["memory"] - without.bytes["memory"]) / (200_000 * 32 * 4)
    assert 3 * 5 < rows <= 3 * 10


def test_only_torch_gets_an_allocator_setting() -> None:
    def env(variant: str) -> dict[str, str]:
        case = Case("heat", WORKLOAD.version, variant, "cpu", params())
        return dict(WORKLOAD.worker_env(case))

    assert env("torch")["MALLOC_MMAP_MAX_"] == "0"
    assert env("torch-shared-sparse") == env("torch")
    assert env("block") == {}


def test_the_public_data_sets_can_be_fetched() -> None:
    assert WORKLOAD.datasets() == DATASETS
    assert {found.name for found in DATASETS} == {"gowalla", "yelp2018", "amazon-book", "ml-1m"}


def test_the_compiled_variant_learns_gowalla_with_the_default_parameters(
    device: Device, data_folder: Path
) -> None:
    checked = WORKLOAD.check(params(data=str(data_folder / "gowalla")))
    found = WORKLOAD.verify(WORKLOAD.prepare(device, HEAT, checked, seed=0))
    assert found.passed, found.detail
