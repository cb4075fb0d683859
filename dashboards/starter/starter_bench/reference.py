"""The reference: slow, obvious, and right."""

import heapq


def smallest(numbers: list[float], k: int) -> list[float]:
    """Return the k smallest numbers in ascending order."""
    return heapq.nsmallest(k, numbers)
