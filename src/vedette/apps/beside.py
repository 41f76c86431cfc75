"""Work in a thread of its own for as long as a block lasts."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def working_beside(work: Callable[[threading.Event], None], name: str) -> Iterator[None]:
    """`work` is given an event that is set when the block is left, and is waited for then."""
    over = threading.Event()
    thread = threading.Thread(target=work, args=(over,), name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
