"""Batches over several workers: answers in order, dead workers replaced, old ones recycled.

What happens to a batch:

- its worker (or one of Lava's processes) dies, or the reply is not what was sent: a new worker
  tries once more; the second time it is an error;
- no answer within the time limit and no sample done since the batch began (Lava hangs now and
  then): the same; but where samples had been done, the limit is too short, which is an error;
- Lava raises: an error at once, for another worker would raise too.

After an error, and on Ctrl-C, all workers are ended.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from multiprocessing.connection import wait
from typing import Any

from neurorobust.backends.hosted.frames import Message
from neurorobust.backends.hosted.process import WorkerLost, WorkerProcess, WorkerSilent
from neurorobust.errors import BackendError

_log = logging.getLogger(__name__)
_TRIES = 2


class _Seat:
    """A place for one worker at a time, and the batch it works on."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self.worker: WorkerProcess | None = None
        self.batch: int | None = None
        self.deadline = 0.0
        self.samples = 0  # done of the batch
        self.served = 0  # batches since the worker was started
        self.memory = 0  # MiB after the first batch of its newest network

    def end(self) -> None:
        if self.worker is not None:
            self.worker.end()
        self._clear()


class Pool:
    """Workers that answer batches.

    Args:
        start: makes a worker.
        workers: how many may work at a time.
        name: of the backend, for errors.
        recycle: batches after which a worker is replaced.
        growth: MiB that a worker's memory may grow after its first batch before it is replaced.
    """

    def __init__(
        self,
        start: Callable[[], WorkerProcess],
        workers: int,
        name: str,
        recycle: int,
        growth: int,
    ) -> None:
        self._start = start
        self._seats = [_Seat() for _ in range(workers)]
        self._name, self._recycle, self._growth = name, recycle, growth
        self._timeout = 0.0
        self.started = 0  # workers, in all
        self.retried = 0  # batches, in all
        self.report: dict[str, Any] = {}  # what the newest answer's network measured
        self.waited = 0.0  # seconds of the last `run` until the first network was compiled

    @property
    def workers(self) -> list[WorkerProcess]:
        """Those alive."""
        return [seat.worker for seat in self._seats if seat.worker is not None]

    def run(
        self,
        batches: list[Message],
        timeout: float,
        check: Callable[[int, object], None],
        progress: Callable[[int], None],
    ) -> list[object]:
        """The answers to batches, in their order.

        Args:
            batches: messages for a worker.
            timeout: seconds for one batch, start of the worker and compilation included.
            check: called with a batch's number and its answer; a ValueError says that the answer
                is corrupted.
            progress: told how many samples more are done (fewer, where a worker was lost).

        Raises:
            BackendError: names Lava's error and the log.
        """
        answers: list[object] = [None] * len(batches)
        left, tries = deque(range(len(batches))), [0] * len(batches)
        begun, self.waited, self._timeout = time.monotonic(), 0.0, timeout
        try:
            while left or any(seat.batch is not None for seat in self._seats):
                for seat in self._seats:
                    if left and seat.batch is None:
                        seat.batch = left.popleft()
                        tries[seat.batch] += 1
                        self._attempt(seat, lambda s: self._begin(s, batches), left, tries)
                busy = [seat for seat in self._seats if seat.batch is not None]
                next_deadline = min((seat.deadline for seat in busy), default=0.0)
                heard: list[Any] = [seat.worker for seat in busy if seat.worker is not None]
                ready: list[Any] = wait(heard, max(0.0, next_deadline - time.monotonic()))
                for seat in busy:
                    if seat.worker in ready or time.monotonic() >= seat.deadline:
                        self._attempt(
                            seat,
                            lambda s: self._hear(s, answers, check, progress, begun),
                            left,
                            tries,
                            progress,
                        )
        except BaseException:  # Ctrl-C too
            self.close()
            raise
        return answers

    def close(self) -> None:
        """End all workers."""
        for seat in self._seats:
            seat.end()

    def _begin(self, seat: _Seat, batches: list[Message]) -> None:
        seat.deadline = time.monotonic() + self._timeout
        if seat.worker is None:
            seat.worker = self._start()
            self.started += 1
        assert seat.batch is not None
        seat.worker.send(batches[seat.batch], seat.deadline)

    def _hear(
        self,
        seat: _Seat,
        answers: list[object],
        check: Callable[[int, object], None],
        progress: Callable[[int], None],
        begun: float,
    ) -> None:
        """Take one message."""
        assert seat.worker is not None
        assert seat.batch is not None
        kind, *rest = seat.worker.receive(seat.deadline)
        if kind == "started":
            self.waited = self.waited or time.monotonic() - begun
            if rest[0]:
                seat.memory = 0
        elif kind == "done":
            progress(rest[0] - seat.samples)
            seat.samples = rest[0]
        elif kind == "result":
            answer, memory, report = rest
            try:
                check(seat.batch, answer)
            except ValueError as error:
                raise WorkerLost(f"corrupted reply: {error}") from None
            answers[seat.batch] = answer
            self.report = report
            seat.batch, seat.samples = None, 0
            seat.served += 1
            seat.memory = seat.memory or memory
            if seat.served >= self._recycle or memory - seat.memory > self._growth:
                seat.end()

    def _attempt(
        self,
        seat: _Seat,
        action: Callable[[_Seat], None],
        left: deque[int],
        tries: list[int],
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """Do something with a worker; where it is lost, put its batch back or give up."""
        try:
            action(seat)
            return
        except BackendError as error:
            raise self._final(seat, f"{self._name}: {error}") from None
        except WorkerLost as error:
            what, again = f"{self._name}: {error}", True
        except WorkerSilent:
            what, again = f"{self._name}: no answer within {self._timeout:g} s", seat.samples == 0
            if not again:
                what += f", {seat.samples} samples were done: a longer --timeout may help"
        batch = seat.batch
        assert batch is not None
        if not again or tries[batch] >= _TRIES:
            raise self._final(seat, what + (", twice" if again else ""))
        _log.warning("%s; once more with a new worker", what)
        self.retried += 1
        if progress is not None:
            progress(-seat.samples)
        seat.end()
        left.appendleft(batch)

    def _final(self, seat: _Seat, what: str) -> BackendError:
        if seat.worker is None:
            return BackendError(what)
        return BackendError(f"{what}; Lava's log: {seat.worker.keep_log()}")
