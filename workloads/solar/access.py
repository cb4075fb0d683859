"""How a file is opened for reading: past the page cache where that is allowed, else through it."""

from __future__ import annotations

import os

import psutil

from harness.errors import AssayError
from workloads.solar.layout import Dataset, SampleFile, identity_of
from workloads.solar.staging import memory


class Access:
    """A file open for positional reads.

    Attributes:
        descriptors: one a dataset; -1 for one that h5py must read.
        how: in words, how it is read and why.
    """

    def __init__(self, file: SampleFile, direct: bool | None) -> None:
        """Open a file.

        Args:
            file: to open.
            direct: whether to ask for O_DIRECT; None for where the file is larger than the memory
                that is available, so that the page cache could not hold it.

        Raises:
            AssayError: it is not the file that was indexed.
        """
        self._file = file
        self._buffered = _open(file, 0)
        self._direct = -1
        try:
            status = os.fstat(self._buffered)
            if (status.st_ino, status.st_dev) != (file.identity.inode, file.identity.device):
                raise _changed(file)
            self.check()
        except BaseException:
            self.close()
            raise
        os.posix_fadvise(self._buffered, 0, 0, os.POSIX_FADV_RANDOM)
        if direct is None:
            direct = file.identity.size > psutil.virtual_memory().available
        why = self._ask_direct() if direct else "O_DIRECT not asked for"
        self.descriptors = [self._descriptor(dataset) for dataset in file.datasets]
        words: dict[str, list[str]] = {}
        for dataset, descriptor in zip(file.datasets, self.descriptors, strict=True):
            words.setdefault(self._words(dataset, descriptor, why), []).append(dataset.name)
        self.how = "; ".join(f"{', '.join(names)}: {how}" for how, names in words.items())

    def check(self) -> None:
        """Raise if the file at the path is no longer the one that was indexed.

        Raises:
            AssayError: it was replaced, removed, truncated or written to.
        """
        if identity_of(self._file.path) != self._file.identity:
            raise _changed(self._file)

    def close(self) -> None:
        """Close the descriptors."""
        for descriptor in {self._buffered, self._direct} - {-1}:
            os.close(descriptor)
        self._buffered = self._direct = -1

    def _ask_direct(self) -> str:
        """Open with O_DIRECT, prove it by a read, and return why not, or ""."""
        aligned = next((d for d in self._file.datasets if d.aligned), None)
        if aligned is None or aligned.starts is None or not hasattr(os, "O_DIRECT"):
            return "O_DIRECT not possible"
        try:
            self._direct = os.open(self._file.path, os.O_RDONLY | os.O_DIRECT)
            os.preadv(self._direct, [memory(4096).data], int(aligned.starts[0]))
        except OSError as error:
            if self._direct != -1:
                os.close(self._direct)
                self._direct = -1
            return f"O_DIRECT refused: {error.strerror}"
        return ""

    def _descriptor(self, dataset: Dataset) -> int:
        if dataset.fallback:
            return -1
        return self._direct if self._direct != -1 and dataset.aligned else self._buffered

    def _words(self, dataset: Dataset, descriptor: int, why: str) -> str:
        if descriptor == -1:
            return f"h5py ({dataset.fallback})"
        if descriptor == self._direct:
            return "O_DIRECT"
        return f"buffered ({why or 'samples are not aligned to 4096 bytes'})"


def _open(file: SampleFile, flags: int) -> int:
    try:
        return os.open(file.path, os.O_RDONLY | flags)
    except OSError as error:
        raise AssayError(f"{file.path}: {error.strerror}; it was there when indexed") from None


def _changed(file: SampleFile) -> AssayError:
    return AssayError(
        f"{file.path}: was replaced, truncated or written to since it was indexed; "
        "start again with the file as it is"
    )
