"""What a complete training learnt, kept between workers: some take a quarter of an hour.

    <cache>/heat/<digest>.json

The digest is of everything that the result depends on: the variant, its settings, seed, data,
libraries and the source that it is made of. The cache is below `ASSAY_CACHE` or the user's
cache folder and may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from harness.cache import cache_root
from harness.errors import AssayError
from harness.store import write_whole
from workloads.heat.settings import Settings
from workloads.kernels.sources import source_of

_LIBRARIES = ("numpy", "numba", "torch")


@dataclass(frozen=True, slots=True)
class Learned:
    """What one complete training did.

    Attributes:
        loss_before: mean loss of a sample of interactions before,
        loss_after: and after.
        recall: Recall@20 over all users that have test items.
        ndcg: NDCG@20 over the same.
        popularity_recall: of recommending the most popular items.
        untrained_recall: of the initial factors.
    """

    loss_before: float
    loss_after: float
    recall: float
    popularity_recall: float
    untrained_recall: float
    ndcg: float = 0.0


def kept(folder: Path, digest: str) -> Learned | None:
    """Return what is kept under a digest; None where there is nothing, or nothing whole."""
    try:
        return msgspec.json.decode((folder / f"{digest}.json").read_bytes(), type=Learned)
    except (OSError, msgspec.MsgspecError):
        return None


def keep(folder: Path, digest: str, learned: Learned) -> None:
    """Keep what was learnt under a digest; a folder that cannot be written to keeps nothing."""
    with suppress(OSError, AssayError):
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / f"{digest}.json", msgspec.json.encode(learned))


def cache_folder() -> Path:
    """Return where trainings are kept."""
    return cache_root() / "heat"


def digest_of(variant: str, run: str, device: str, settings: Settings, seed: int, data: str) -> str:
    """Return the digest of everything that a training depends on.

    Args:
        variant: its name.
        run: its import path.
        device: what it runs on.
        settings: of the training; which part of it is timed makes no difference.
        seed: of initial rows, shuffling and negatives.
        data: digest of the interactions.
    """
    told = {name: value for name, value in asdict(settings).items() if name != "sampled"}
    told |= {"variant": variant, "device": device, "seed": seed, "data": data}
    told["libraries"] = [_version(name) for name in _LIBRARIES]
    told["source"] = [source_of(__file__), _source(run)]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _source(run: str) -> str:
    """Return a digest of the files beside a variant's own; empty where it is not installed."""
    spec = importlib.util.find_spec(run.partition(":")[0])
    return source_of(spec.origin) if spec is not None and spec.origin is not None else ""
