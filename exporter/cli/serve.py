"""`coopdraw serve`: pictures for requests that come as lines of JSON."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from coopdraw.exporter.cli.debug import debug_option
from coopdraw.exporter.cli.files import replaced_file
from coopdraw.graphs.errors import CoopdrawError
from coopdraw.runtime.backends import BACKENDS

if TYPE_CHECKING:
    import numpy as np

    from coopdraw.exporter.cli.request_lines import Draw
    from coopdraw.runtime.service import PictureService


@click.command("serve", short_help="Draw pictures for requests from standard input.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--backend", type=click.Choice(BACKENDS), default=BACKENDS[0], show_default=True)
@click.option("--num-threads", type=click.IntRange(min=1), help="Threads of the backend. [default: its choice]")
@click.option("--capacity", type=click.IntRange(min=1), default=64, show_default=True, help="Requests that may wait.")
@debug_option
def command(bundle: Path, backend: str, num_threads: int | None, capacity: int) -> None:
    """Loads BUNDLE once and draws a picture for every line of standard input, until it ends.

    A line is a JSON object: `prompt` and `output` (a PNG file), and if wanted `id`, `seed`, `branches` (captions by
    guidance branch), `images` (files by adapter, or `image` and `mask`) and `timeout` in seconds; or `cancel` with an
    id, which works until the run has begun. Requests that wait share runs, as many as the bundle's batch. Each gets one
    line of JSON on standard output: its `id` with `wrote` or `error`.

    \b
    Examples:
      echo '{"id": 1, "prompt": "red ring", "seed": 7, "output": "ring.png"}' | coopdraw serve shapes.bundle
    """
    from coopdraw.runtime.bundle import Bundle
    from coopdraw.runtime.service import PictureService
    from coopdraw.runtime.session import Session

    opened = Bundle.open(bundle)
    opened.graph_for(backend)
    with PictureService(opened, lambda b: Session(b, backend, num_threads), capacity) as service:
        _Desk(service, {spec.name: spec.shape for spec in opened.manifest.inputs}, sys.stdout).serve(sys.stdin)


class _Desk:
    """Reads requests and writes answers; answers come from the service's thread, so they are written one at a time."""

    def __init__(self, service: PictureService, shapes: dict[str, tuple[int, ...]], answers: TextIO) -> None:
        self._service = service
        self._shapes = shapes
        self._answers = answers
        self._lock = threading.Lock()
        self._futures: dict[str, Future[np.ndarray]] = {}

    def serve(self, lines: Iterable[str]) -> None:
        from coopdraw.exporter.cli.request_lines import Cancel, read_line

        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                request = read_line(line, number)
            except CoopdrawError as error:
                self._answer(str(number), error=str(error))
                continue
            if isinstance(request, Cancel):
                future = self._futures.get(request.cancel)
                if future is None or not future.cancel():
                    self._answer(request.cancel, error="it is not waiting, so it can't be cancelled")
            else:
                self._submit(request)

    def _submit(self, request: Draw) -> None:
        try:
            if request.id in self._futures:
                raise CoopdrawError(f"another request has the id {request.id}; give each its own")
            future = self._service.submit(request.as_request(self._shapes), request.timeout)
        except (CoopdrawError, OSError) as error:
            self._answer(request.id, error=str(error))
            return
        self._futures[request.id] = future
        future.add_done_callback(partial(self._finish, request))

    def _finish(self, request: Draw, future: Future[np.ndarray]) -> None:
        self._futures.pop(request.id, None)
        self._answer(request.id, **_outcome(request, future))

    def _answer(self, id: str, **what: str) -> None:
        with self._lock:
            self._answers.write(json.dumps({"id": id, **what}) + "\n")
            self._answers.flush()


def _outcome(request: Draw, future: Future[np.ndarray]) -> dict[str, str]:
    """Writes the picture if there is one; what the answer says of it."""
    from coopdraw.runtime.image import to_pictures, write_png

    if future.cancelled():
        return {"error": "cancelled"}
    error = future.exception()
    if error is not None:
        return {"error": str(error)}
    try:
        with replaced_file(request.output) as file:
            write_png(file, to_pictures(future.result()[None])[0])
    except (CoopdrawError, OSError) as failure:
        return {"error": str(failure)}
    return {"wrote": str(request.output)}
