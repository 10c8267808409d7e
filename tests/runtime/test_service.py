"""The service: what it draws, who shares a run, and what happens to requests that can't be served."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError
from pathlib import Path

import numpy as np
import pytest

from coopdraw.runtime.bundle import Bundle
from coopdraw.runtime.errors import BackendError, InputError
from coopdraw.runtime.prompt import draw_pictures
from coopdraw.runtime.service import PictureRequest, PictureService, QueueFullError
from coopdraw.runtime.session import Session

PATIENCE = 60.0  # seconds for what should take milliseconds


class GatedSession(Session):
    """A session whose runs wait until the test lets them go on."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.runs = 0

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.entered.set()
        assert self.gate.wait(PATIENCE)
        self.runs += 1
        return super().run(inputs)


@pytest.fixture(scope="module")
def bundle(bundle_folder: Path) -> Bundle:
    return Bundle.open(bundle_folder)


@pytest.fixture
def gated(bundle: Bundle) -> Iterator[tuple[PictureService, GatedSession]]:
    """A service whose session holds every run; its batch is 2."""
    opened: list[GatedSession] = []
    ready = threading.Event()

    def open_session(bundle: Bundle) -> Session:
        opened.append(GatedSession(bundle))
        ready.set()
        return opened[0]

    service = PictureService(bundle, open_session, capacity=3)
    assert ready.wait(PATIENCE)
    yield service, opened[0]
    opened[0].gate.set()
    service.close()


def test_pictures_are_those_of_single_runs(bundle: Bundle) -> None:
    wanted = [PictureRequest("red ring", 3), PictureRequest("blue", 11, {"uncond": "red"}), PictureRequest("red", 0)]
    with PictureService(bundle) as service:
        drawn = [future.result(PATIENCE) for future in [service.submit(request) for request in wanted]]
    with Session(bundle) as session:
        for picture, request in zip(drawn, wanted, strict=True):
            alone = draw_pictures(session, [request.prompt], request.seed, request.branches)[0]
            np.testing.assert_array_equal(picture, alone)


def test_requests_that_wait_share_a_run(gated: tuple[PictureService, GatedSession]) -> None:
    service, session = gated
    first = service.submit(PictureRequest("red", 0))
    assert session.entered.wait(PATIENCE)
    others = [service.submit(PictureRequest("blue", seed)) for seed in (1, 2)]
    session.gate.set()
    for future in (first, *others):
        assert future.result(PATIENCE).shape == (3, 4, 4)
    assert session.runs == 2


def test_too_many_requests(gated: tuple[PictureService, GatedSession]) -> None:
    service, session = gated
    service.submit(PictureRequest("red"))
    assert session.entered.wait(PATIENCE)
    waiting = [service.submit(PictureRequest("red")) for _ in range(3)]
    with pytest.raises(QueueFullError, match="3 requests are waiting"):
        service.submit(PictureRequest("red"))
    assert waiting[1].cancel()
    service.submit(PictureRequest("red"))


def test_a_deadline_ends_waiting_and_running_requests(gated: tuple[PictureService, GatedSession]) -> None:
    service, session = gated
    running = service.submit(PictureRequest("red"), timeout=0.2)
    assert session.entered.wait(PATIENCE)
    waiting = service.submit(PictureRequest("blue"), timeout=0.1)
    patient = service.submit(PictureRequest("blue", 5))
    for future in (running, waiting):
        assert isinstance(future.exception(PATIENCE), TimeoutError)
    session.gate.set()
    assert patient.result(PATIENCE).shape == (3, 4, 4)
    assert session.runs == 2, "the request whose time was over must not be run"


def test_cancel(gated: tuple[PictureService, GatedSession]) -> None:
    service, session = gated
    running = service.submit(PictureRequest("red"))
    assert session.entered.wait(PATIENCE)
    waiting = service.submit(PictureRequest("blue"))
    assert waiting.cancel()
    assert not running.cancel()
    session.gate.set()
    assert running.result(PATIENCE) is not None
    service.close()
    assert session.runs == 1


def test_close_without_drain_drops_what_waits(gated: tuple[PictureService, GatedSession]) -> None:
    service, session = gated
    running = service.submit(PictureRequest("red"))
    assert session.entered.wait(PATIENCE)
    waiting = service.submit(PictureRequest("blue"))
    threading.Timer(0.1, session.gate.set).start()
    service.close(drain=False)
    assert running.result(0) is not None
    with pytest.raises(CancelledError):
        waiting.result(0)
    with pytest.raises(BackendError, match="closed"):
        service.submit(PictureRequest("red"))


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (PictureRequest("violet"), "violet"),
        (PictureRequest("red", -1), "seed is -1"),
        (PictureRequest("red", branches={"style": "red"}), "no guidance branch style"),
        (PictureRequest("red", images={"edges.image": np.zeros((3, 4, 4))}), "takes the pictures none"),
    ],
)
def test_a_request_the_bundle_cannot_take(bundle: Bundle, request_: PictureRequest, message: str) -> None:
    with PictureService(bundle) as service, pytest.raises(InputError, match=message):
        service.submit(request_)


def test_a_failing_run_fails_its_batch_only(bundle: Bundle) -> None:
    class Failing(Session):
        runs = 0

        def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            self.runs += 1
            if self.runs == 1:
                raise BackendError("the device is gone")
            return super().run(inputs)

    with PictureService(bundle, Failing) as service:
        lost = service.submit(PictureRequest("red"))
        assert isinstance(lost.exception(PATIENCE), BackendError)
        assert service.submit(PictureRequest("red")).result(PATIENCE) is not None


@pytest.mark.parametrize("error", [BackendError("no backend"), MemoryError("full")])
def test_a_session_that_does_not_open_fails_everybody(bundle: Bundle, error: Exception) -> None:
    def refuse(bundle: Bundle) -> Session:
        time.sleep(0.1)
        raise error

    service = PictureService(bundle, refuse)
    waiting = service.submit(PictureRequest("red"))
    assert waiting.exception(PATIENCE) is error
    with pytest.raises(BackendError, match="closed"):
        service.submit(PictureRequest("red"))
    service.close()
