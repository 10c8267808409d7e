"""A running coopdraw-run: requests go in and answers come out as lines of JSON, tensors through shared memory."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from coopdraw.runtime.errors import BackendError
from coopdraw.runtime.npz import read_npz, write_npz

LONGEST_SILENCE = 3600.0
"""Seconds without an answer, which comes after loading and after every step, before the program counts as stuck."""
_FAREWELL = 5.0


class LiteProcess:
    """One process that serves one bundle. It starts with the first request, and again after it ended for any reason.

    It ends when this object is dropped, when `close` is called, and by itself when this process is gone.
    """

    def __init__(
        self, program: Path, bundle: Path, num_threads: int | None, longest_silence: float = LONGEST_SILENCE
    ) -> None:
        self._command = [str(program), str(bundle), "--serve", "--trust-files"]
        if num_threads is not None:
            self._command += ["--threads", str(num_threads)]
        self._longest_silence = longest_silence
        self._lock = Lock()
        self._running: _Running | None = None
        self._count = 0

    def close(self) -> None:
        """Ends the process, if it runs."""
        with self._lock:
            self._stop()

    def load(self, graph: str) -> None:
        """Loads a graph of the bundle: `sampling` or `text_encoder`. Raises BackendError."""
        with self._lock:
            self._exchange({"graph": graph})

    def run(self, graph: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by name. Raises BackendError, at once if the process dies."""
        with self._lock:
            running = self._started()
            with open(running.inputs, "r+b", closefd=False) as file:
                file.seek(0)
                file.truncate()
                write_npz(file, inputs)
            self._exchange(
                {"graph": graph, "inputs": _memory_path(running.inputs), "outputs": _memory_path(running.outputs)}
            )
            return read_npz(Path(_memory_path(running.outputs)))

    def _started(self) -> _Running:
        if self._running is None:
            self._running = _Running(self._command)
        return self._running

    def _stop(self) -> None:
        if self._running is not None:
            self._running.end()
            self._running = None

    def _exchange(self, request: Mapping[str, Any]) -> None:
        """Sends a request and waits for its last answer. Whatever interrupts it also ends the process."""
        running = self._started()
        self._count += 1
        try:
            running.send({"id": self._count, **request})
            answer: dict[str, Any] = {}
            while "ok" not in answer and "error" not in answer:
                answer = running.receive(self._longest_silence)
        except BaseException:
            running.kill()
            self._stop()
            raise
        if "error" in answer:
            raise BackendError(str(answer["error"]))


class _Running:
    """The process with its pipes, and memory for tensors and error messages, which has no name in any folder."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self.inputs, self.outputs, self._errors = (os.memfd_create(name) for name in ("inputs", "outputs", "errors"))
        files = (self.inputs, self.outputs, self._errors)
        try:
            # Its own process group: Ctrl-C is for this process, which then ends that one.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=None if "GLOG_v" in os.environ else self._errors,
                bufsize=0,
                pass_fds=files,
                process_group=0,
            )
        except OSError as error:
            for file in files:
                os.close(file)
            raise BackendError(f"{command[0]} cannot be started ({error.strerror}); remove it and run again") from error
        self.end = weakref.finalize(self, _end, self._process, files, os.getpid())
        self._received = b""

    def kill(self) -> None:
        self._process.kill()

    def send(self, request: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise self._death() from error

    def receive(self, longest_silence: float) -> dict[str, Any]:
        """The next answer; raises BackendError if the process dies or says nothing for so many seconds."""
        assert self._process.stdout is not None
        deadline = time.monotonic() + longest_silence
        poll = select.poll()
        poll.register(self._process.stdout, select.POLLIN)
        while b"\n" not in self._received:
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise BackendError(f"coopdraw-run said nothing for {longest_silence:.0f} s; it was ended, run again")
            received = self._process.stdout.read(65536)
            if not received:
                raise self._death()
            self._received += received
        line, _, self._received = self._received.partition(b"\n")
        try:
            answer = json.loads(line)
        except ValueError as error:
            raise BackendError(f"coopdraw-run said {line[:80]!r}; remove it from the cache and run again") from error
        return answer if isinstance(answer, dict) else {}

    def _death(self) -> BackendError:
        try:
            code = self._process.wait(_FAREWELL)
        except subprocess.TimeoutExpired:
            code = None
        how = "closed its output" if code is None else f"ended with status {code}"
        if code is not None and code < 0:
            how = f"was ended by {signal.Signals(-code).name}"
        said = os.pread(self._errors, 65536, 0).decode(errors="replace").strip().splitlines()
        cause = said[-1].removeprefix("error: ") if said else "it may have run out of memory"
        return BackendError(f"{self._command[0]} {how} ({cause}); run again, with GLOG_v=2 to see its log")


def _end(process: subprocess.Popen[bytes], files: tuple[int, ...], owner: int) -> None:
    """Lets the process finish, or kills it if it doesn't; nothing of it stays."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    for file in files:
        os.close(file)
    if os.getpid() != owner:  # a fork of the process that started it
        return
    try:
        process.wait(_FAREWELL)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _memory_path(file: int) -> str:
    return f"/proc/self/fd/{file}"
