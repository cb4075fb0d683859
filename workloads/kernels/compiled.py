"""Numba functions that are compiled anew when any file beside them has changed.

Numba's cache on disk knows the file that a function is written in, not those of the functions that
it calls: kernels spread over several files would be measured as they were before an edit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

from numba import njit

from workloads.kernels.sources import source_of

_Function = TypeVar("_Function", bound=Callable[..., Any])


@overload
def compiled(**options: Any) -> Callable[[_Function], _Function]: ...


@overload
def compiled(
    signature: Any, /, *signatures: Any, **options: Any
) -> Callable[[Callable[..., Any]], Callable[..., Any]]: ...


def compiled(*signatures: Any, **options: Any) -> Any:
    """Decorate a function as `numba.njit` with these options does, cached on disk.

    Args:
        *signatures: what to compile for at once; without any, at the first call.
        **options: numba's.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        made: Any = njit(cache=True, **options)(function)
        # There is no public way; a numba that calls it otherwise fails here, at import.
        index = made._cache._cache_file
        index._source_stamp = (*index._source_stamp, source_of(function.__code__.co_filename))
        for signature in signatures:
            made.compile(signature)
        if signatures:
            made.disable_compile()
        return made

    return decorate
