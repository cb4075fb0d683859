"""Whether a dataset takes bytes from other files, and that these lie in its own file's folder.

An HDF5 file may name any other file of the machine: by an external link, as external storage, or as
the source of a virtual dataset. HDF5 follows each without a word, and fills in zeros where a
virtual dataset's source is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import h5py

from harness.errors import AssayError, unknown

_MOST_HOPS = 16  # as many as HDF5 follows by itself (H5L_NUM_LINKS)


def check(path: Path, names: Iterable[str]) -> None:
    """Raise unless all bytes of the datasets lie in their file and the files beside it.

    Args:
        path: of the file.
        names: of the datasets, with their groups.

    Raises:
        AssayError: a dataset is missing or is a group, or it leads to a file that is missing,
            outside the folder of `path`, or named by a pattern.
    """
    whole = path.resolve()
    done: set[tuple[str, str]] = set()
    with h5py.File(whole, "r") as file:
        for name in names:
            _walk(file, _parts(name), folder=whole.parent, hops=0, done=done)


def _walk(
    file: h5py.File, parts: list[str], *, folder: Path, hops: int, done: set[tuple[str, str]]
) -> None:
    """Follow a path to its dataset and to all that this takes bytes from.

    Args:
        file: in which the path begins.
        parts: of the path.
        folder: that nothing may leave.
        hops: links and sources followed so far.
        done: the file and name of each dataset that was followed to its end: many may share one.
    """
    if hops > _MOST_HOPS:
        raise AssayError(f"{file.filename}: more than {_MOST_HOPS} links lead to {'/'.join(parts)}")
    at: h5py.Group | h5py.Dataset = file
    for index, part in enumerate(parts):
        rest = parts[index + 1 :]
        link = at.get(part, getlink=True) if isinstance(at, h5py.Group) else None
        if link is None:
            raise _missing(file, parts, at)
        if isinstance(link, h5py.ExternalLink):
            what = f"the external link {part!r}"
            target = _inside(file, link.filename, folder, what)
            with h5py.File(target, "r") as other:
                _walk(other, [*_parts(link.path), *rest], folder=folder, hops=hops + 1, done=done)
            return
        if isinstance(link, h5py.SoftLink):
            start = [] if link.path.startswith("/") else _parts(at.name)
            parts = [*start, *_parts(link.path), *rest]
            _walk(file, parts, folder=folder, hops=hops + 1, done=done)
            return
        at = at[part]
    if not isinstance(at, h5py.Dataset):
        raise AssayError(f"{file.filename}: {at.name!r} is a group; name a dataset of it")
    if (file.filename, at.name) in done:
        return
    for what, name, source in _elsewhere(at):
        target = _inside(file, name, folder, what)
        if source:
            with h5py.File(target, "r") as other:
                _walk(other, _parts(source), folder=folder, hops=hops + 1, done=done)
    # Not before: one that leads back to itself is refused for its hops.
    done.add((file.filename, at.name))


def _elsewhere(dataset: h5py.Dataset) -> Iterator[tuple[str, str, str]]:
    """Yield what leads elsewhere, the file's name, and the dataset there ("" for plain bytes)."""
    of = f"of dataset {dataset.name!r}"
    for name, _, _ in dataset.external or ():
        yield f"the external storage {of}", name, ""
    if dataset.is_virtual:
        for source in sorted({(s.file_name, s.dset_name) for s in dataset.virtual_sources()}):
            if source[0] != ".":
                yield f"a virtual source {of}", *source
            elif source[1] != dataset.name:
                yield f"a virtual source {of}", dataset.file.filename, source[1]


def _inside(file: h5py.File, name: str, folder: Path, what: str) -> Path:
    if "%" in name:
        raise AssayError(
            f"{file.filename}: {what} is a pattern ({name!r}); name its files one by one"
        )
    target = (Path(file.filename).parent / name).resolve()
    if target.parent != folder and folder not in target.parents:
        raise AssayError(
            f"{file.filename}: {what} leads to {name!r}, outside the file's folder; copy it there"
        )
    if not target.is_file():
        raise AssayError(f"{file.filename}: {what} leads to {name!r}, which is missing")
    return target


def _missing(file: h5py.File, parts: list[str], at: h5py.Group | h5py.Dataset) -> AssayError:
    known = list(at) if isinstance(at, h5py.Group) else []
    return AssayError(f"{file.filename}: {unknown('dataset', '/'.join(parts), known)}")


def _parts(name: str) -> list[str]:
    return [part for part in name.split("/") if part not in ("", ".")]
