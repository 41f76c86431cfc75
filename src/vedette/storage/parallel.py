"""Many small transfers at once: a bounded number of threads, results as they finish, the first error ends it all.

obstore lets go of Python's lock while it waits, so threads are enough. They are daemons: Ctrl-C, or leaving the loop,
begins nothing new and waits for what is under way only for a moment; every transfer is whole or not at all anyway.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
THREADS = 16  # requests under way at once
_PATIENCE_S = 2.0  # how long an end waits for what is under way


def in_parallel(do: Callable[[Item], Result], items: Iterable[Item], threads: int = THREADS) -> Iterator[Result]:
    """`do` of every item, in the order in which they finish.

    Raises:
        What the first `do` that failed raised; nothing new is begun then.
    """
    waiting = iter(items)
    turn = threading.Lock()
    stopped = threading.Event()
    done: queue.SimpleQueue[tuple[str, Result | BaseException | None]] = queue.SimpleQueue()

    def work() -> None:
        try:
            while not stopped.is_set():
                with turn:
                    try:
                        item = next(waiting)
                    except StopIteration:
                        break
                done.put(("result", do(item)))
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            stopped.set()
            done.put(("error", error))
        done.put(("end", None))

    workers = [threading.Thread(target=work, name=f"transfer-{number}", daemon=True) for number in range(threads)]
    for worker in workers:
        worker.start()
    alive = len(workers)
    try:
        while alive:
            kind, value = done.get()
            if kind == "end":
                alive -= 1
            elif isinstance(value, BaseException):
                raise value
            else:
                yield value  # type: ignore[misc] # a result
    finally:
        stopped.set()
        until = time.monotonic() + _PATIENCE_S
        for worker in workers:
            worker.join(max(0.0, until - time.monotonic()))


def interruptibly(do: Callable[[], Result]) -> Result:
    """The result of `do`, so that Ctrl-C need not wait for it: obstore does not look for signals while it waits."""
    if threading.current_thread() is not threading.main_thread():
        return do()
    return next(in_parallel(lambda _: do(), (None,), 1))
