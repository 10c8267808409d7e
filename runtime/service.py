"""Draws many pictures through one opened bundle: requests wait in a queue and share runs, batch by batch."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field, replace
from types import TracebackType

import numpy as np

from coopdraw.graphs.errors import CoopdrawError
from coopdraw.runtime.bundle import Bundle
from coopdraw.runtime.errors import BackendError, BundleError, InputError
from coopdraw.runtime.noise import is_noise
from coopdraw.runtime.prompt import PROMPT, UNCONDITIONAL, caption_branches, prompt_inputs
from coopdraw.runtime.session import Session
from coopdraw.runtime.tensors import check_inputs
from coopdraw.runtime.tokenizer import tokenize


class QueueFullError(CoopdrawError):
    """A request for which there is no room; the same request may be taken later."""


@dataclass(frozen=True)
class PictureRequest:
    """One picture: its caption, its seed, captions of other guidance branches, and pictures (C, H, W) by input name."""

    prompt: str
    seed: int = 0
    branches: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class _Waiting:
    request: PictureRequest
    future: Future[np.ndarray]
    deadline: float


class PictureService:
    """A queue of requests in front of a session, which one thread of its own opens, runs and closes.

    A run draws a whole batch: requests that wait share it, in the order in which they came; places that nobody needs
    are filled up. `submit` may be called from any thread. `capacity` is how many requests may wait.
    """

    def __init__(self, bundle: Bundle, open_session: Callable[[Bundle], Session] = Session, capacity: int = 64) -> None:
        if bundle.manifest.text_encoder is None:
            raise BundleError(f"{bundle.folder} has no text encoder; run it on tensors (--inputs)")
        self._bundle = bundle
        self._encoder = bundle.manifest.text_encoder
        self._open = open_session
        self._capacity = capacity
        self._queue: deque[_Waiting] = deque()
        self._running: tuple[_Waiting, ...] = ()
        self._changed = threading.Condition()
        self._closing = False
        self._worker = threading.Thread(target=self._work, name="coopdraw-runs", daemon=True)
        self._clock = threading.Thread(target=self._watch, name="coopdraw-deadlines", daemon=True)
        self._worker.start()
        self._clock.start()

    def __enter__(self) -> PictureService:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close(drain=kind is None)

    def submit(self, request: PictureRequest, timeout: float | None = None) -> Future[np.ndarray]:
        """Queues a request; the result is its picture (3, H, W) in [0, 1].

        `timeout` is in seconds from now: when they are over, the result is a TimeoutError, and a run that is under way
        for it ends unheard. `cancel()` works until a run has begun. Raises InputError for a request the bundle can't
        take, QueueFullError when too many wait and BackendError after `close`.
        """
        self._check(request)
        deadline = time.monotonic() + timeout if timeout is not None else float("inf")
        waiting = _Waiting(request, Future(), deadline)
        with self._changed:
            if self._closing:
                raise BackendError("the service is closed; open another")
            if sum(not other.future.done() for other in self._queue) >= self._capacity:
                raise QueueFullError(f"{self._capacity} requests are waiting; try again later")
            self._queue.append(waiting)
            self._changed.notify_all()
        return waiting.future

    def close(self, drain: bool = True) -> None:
        """Ends the service when what waits is done, or with the run that is under way without `drain`."""
        with self._changed:
            self._closing = True
            if not drain:
                for waiting in self._queue:
                    waiting.future.cancel()
                self._queue.clear()
            self._changed.notify_all()
        self._worker.join()
        self._clock.join()

    def _check(self, request: PictureRequest) -> None:
        """What would stop a run is found now, so that it stops no other request."""
        captions = {PROMPT: request.prompt, **request.branches}
        for branch in caption_branches(self._encoder, captions):
            tokenize(self._encoder, [captions.get(branch, "")])
        if request.seed < 0:
            raise InputError(f"the seed is {request.seed}; give 0 or more")
        fed = {name for feed in self._encoder.feeds for name in feed.inputs.values()}
        specs = [spec for spec in self._bundle.manifest.inputs if spec.name not in fed and not is_noise(spec.name)]
        if request.images.keys() != {spec.name for spec in specs}:
            raise InputError(
                f"the bundle takes the pictures {', '.join(spec.name for spec in specs) or 'none'}; give them"
            )
        check_inputs([replace(spec, shape=spec.shape[1:]) for spec in specs], request.images)

    def _work(self) -> None:
        try:
            with self._open(self._bundle) as session:
                session.load()
                while batch := self._next_batch():
                    self._draw(session, batch)
        except Exception as error:
            self._give_up(error)

    def _next_batch(self) -> tuple[_Waiting, ...]:
        """Requests for one run, as soon as there are any; none when the service ends."""
        with self._changed:
            while True:
                found: list[_Waiting] = []
                while self._queue and len(found) < self._bundle.manifest.batch:
                    waiting = self._queue.popleft()
                    if not waiting.future.done() and waiting.future.set_running_or_notify_cancel():
                        found.append(waiting)
                if found or self._closing:
                    self._running = tuple(found)
                    self._changed.notify_all()
                    return self._running
                self._changed.wait()

    def _draw(self, session: Session, batch: Sequence[_Waiting]) -> None:
        try:
            outputs = session.run(self._inputs(session, [waiting.request for waiting in batch]))
            for waiting, picture in zip(batch, outputs["image"], strict=False):
                _settle(waiting.future, picture)
        except CoopdrawError as error:
            for waiting in batch:
                _settle(waiting.future, error)

    def _inputs(self, session: Session, requests: Sequence[PictureRequest]) -> dict[str, np.ndarray]:
        filled = [*requests, *[requests[-1]] * (self._bundle.manifest.batch - len(requests))]
        branches = {PROMPT, UNCONDITIONAL, *(branch for request in requests for branch in request.branches)}
        known = caption_branches(self._encoder, branches - {UNCONDITIONAL})
        captions = {
            branch: [{PROMPT: request.prompt, **request.branches}.get(branch, "") for request in filled]
            for branch in known
        }
        images = {name: np.stack([request.images[name] for request in filled]) for name in requests[0].images}
        return prompt_inputs(session, captions, [request.seed for request in filled], images)

    def _give_up(self, error: Exception) -> None:
        """No further run is possible: nobody who waits, or comes later, gets a picture."""
        with self._changed:
            self._closing = True
            for waiting in (*self._running, *self._queue):
                _settle(waiting.future, error)
            self._queue.clear()
            self._changed.notify_all()

    def _watch(self) -> None:
        """Ends requests whose time is over."""
        with self._changed:
            while not (self._closing and not self._worker.is_alive()):
                now = time.monotonic()
                open_ones = [w for w in (*self._running, *self._queue) if not w.future.done()]
                for waiting in open_ones:
                    if waiting.deadline <= now:
                        _settle(waiting.future, TimeoutError("the picture wasn't drawn in its time"))
                deadlines = [w.deadline for w in open_ones if now < w.deadline < float("inf")]
                wait = min(deadlines) - now if deadlines else None
                self._changed.wait(0.05 if self._closing else wait)


def _settle(future: Future[np.ndarray], result: np.ndarray | BaseException) -> None:
    """Gives a result to whoever still waits for one."""
    try:
        if isinstance(result, BaseException):
            future.set_exception(result)
        else:
            future.set_result(result)
    except InvalidStateError:
        return  # its time was over, or it was cancelled
