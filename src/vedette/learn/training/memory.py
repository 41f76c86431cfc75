"""Keeps the memory that a step of training frees, so that the next step need not be given it anew.

The C library returns blocks as large as a layer's output to the system as soon as they are freed, and gets them back
empty: page by page, each a fault, hundreds of megabytes a step. That was a fifth of the time in FP32 (figures in
docs/reference/training.md). The setting is the process's and lasts; it costs a tenth more memory at the peak.
"""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h of glibc
NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Ask glibc never to give memory back; whether it will. Other C libraries are left as they are."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, NEVER))
