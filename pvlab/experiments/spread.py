"""The same function for many things: on processes of this machine, or on a dask.distributed cluster.

Grading and sweeps say only what to do; where it is done is said here. The function is one of a module, not a local
one, and takes and gives plain data, because both travel.
"""
from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from pvlab.errors import PvlabError


class SpreadError(PvlabError):
    """No cluster there, or a process that died over one of the things."""


def spread(function: Callable, items: Sequence, jobs: int | None = None, scheduler: str | None = None,
           ) -> Iterator[tuple[int, object]]:
    """(position, function(item)) for each item, as they are done.

    jobs        processes here; one for each CPU unless given
    scheduler   the address of a dask.distributed scheduler ("tcp://host:8786"), which is then used instead

    What a call raises comes in the place of its result; if it took its whole process with it, that is a SpreadError.
    Raises SpreadError if there is no such scheduler.
    """
    if scheduler is not None:
        return _on_cluster(function, items, scheduler)
    return _on_processes(function, items, jobs or os.cpu_count() or 1)


def _on_processes(function: Callable, items: Sequence, jobs: int) -> Iterator[tuple[int, object]]:
    """Few are under way at a time, so that when a process dies there are few that it can have died of."""
    waiting = list(range(len(items)))[::-1]
    while waiting:
        suspects = yield from _until_death(function, items, waiting, jobs)
        for position in suspects:       # each once more, alone: the guilty one is found, and the others lose nothing
            if (yield from _until_death(function, items, [position], 1)):
                yield position, SpreadError("the process that worked on it died")


def _until_death(function: Callable, items: Sequence, waiting: list[int], jobs: int):
    """Take from the end of `waiting` and yield results until it is empty; returns those whose process died."""
    from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context
    suspects: list[int] = []
    with ProcessPoolExecutor(min(jobs, len(waiting)), mp_context=get_context("spawn"), initializer=_follow) as pool:
        running: dict = {}
        try:
            while waiting or running:
                while waiting and len(running) < 2 * jobs and not suspects:
                    position = waiting[-1]
                    with _no_main_module():
                        running[pool.submit(function, items[position])] = position
                    waiting.pop()
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    position, error = running.pop(future), future.exception()
                    if isinstance(error, BrokenProcessPool):
                        suspects.append(position)
                    else:
                        yield position, future.result() if error is None else error
                if suspects and not running:
                    break
        except BrokenProcessPool:       # it died while it had nothing to do
            suspects += running.values()
        finally:
            for future in running:
                future.cancel()
    return suspects


@contextmanager
def _no_main_module():
    """A new process would execute the caller's script once more, to have its functions; ours are not in it."""
    own = sys.modules["__main__"]
    sys.modules["__main__"] = type(sys)("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = own


def _follow() -> None:
    """End this process when the one that started it is gone, however it went."""
    from multiprocessing import parent_process
    from multiprocessing.connection import wait
    from threading import Thread

    def watch():
        wait([parent_process().sentinel])
        os._exit(1)
    Thread(target=watch, daemon=True).start()


def _on_cluster(function: Callable, items: Sequence, scheduler: str) -> Iterator[tuple[int, object]]:
    try:
        from distributed import Client, as_completed
    except ImportError:
        raise SpreadError("a cluster needs the package distributed (python -m pip install 'pvlab[cluster]')") from None
    try:
        client = Client(scheduler, timeout=5, set_as_default=False)
    except (OSError, ValueError) as error:
        raise SpreadError(f"no scheduler answers at {scheduler}: {error}") from None
    with client, client.as_current():
        futures = {client.submit(function, item, pure=False): position for position, item in enumerate(items)}
        for future in as_completed(list(futures)):
            error = future.exception()
            if error is None:
                yield futures[future], future.result()
            elif type(error).__name__ == "KilledWorker":
                yield futures[future], SpreadError("the worker that worked on it died, and so did others after it")
            else:
                yield futures[future], error
            future.release()
