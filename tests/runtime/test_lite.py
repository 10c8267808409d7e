"""The Lite backend with MindSpore Lite itself: what it computes, how long it lives, and what it says when it can't."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from runtime.lite_bundle import (
    example_inputs,
    expected_outputs,
    manifest,
    write_lite_bundle,
    write_manifest,
    write_mindir_model,
)

from coopdraw.runtime.backends import LoadedGraph
from coopdraw.runtime.backends.lite import open_backend
from coopdraw.runtime.errors import BackendError
from coopdraw.runtime.lite_library import lite_folder
from coopdraw.runtime.lite_program import lite_program

NATIVE = Path(__file__).resolve().parents[2] / "runtime" / "native"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle; don't change it."""
    return write_lite_bundle(tmp_path_factory.mktemp("lite") / "tiny.bundle")


@pytest.fixture
def bundle(tiny: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(tiny, tmp_path / "copy.bundle"))


def children() -> set[int]:
    """Processes that this one started and has not waited for, zombies too."""
    lists = Path("/proc/self/task").glob("*/children")
    return {int(child) for path in lists for child in path.read_text().split()}


@pytest.fixture(autouse=True)
def lite_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """MindSpore's backend turns the log off for the process that the tests share; messages here quote it."""
    monkeypatch.delenv("GLOG_v", raising=False)


@pytest.fixture
def programs() -> Callable[[], set[int]]:
    """Gives the processes that were started since the test began."""
    before = children()
    return lambda: children() - before


@pytest.fixture
def load(programs: Callable[[], set[int]]) -> Iterator[Callable[[Path], LoadedGraph]]:
    """The backend's loader, for graphs by the path of their bundle; their process must be gone in the end."""
    loaders = [open_backend(1)]
    yield lambda bundle: loaders[0](bundle / "lite" / "sampling.json")
    loaders.clear()
    gc.collect()
    assert programs() == set()


def inputs(seed: int = 0) -> Sequence[np.ndarray]:
    return tuple(example_inputs(seed).values())


def assert_computed(outputs: Sequence[np.ndarray], seed: int = 0) -> None:
    for found, expected in zip(outputs, expected_outputs(example_inputs(seed)).values(), strict=True):
        np.testing.assert_array_equal(found, expected)  # one product and one sum an element, each rounded once


def test_a_plan_runs_as_numpy_computes_it(load: Callable[[Path], LoadedGraph], tiny: Path) -> None:
    graph = load(tiny)
    for seed in range(3):
        assert_computed(graph(inputs(seed)), seed)


def test_both_graphs_share_a_process(tiny: Path, programs: Callable[[], set[int]]) -> None:
    loader = open_backend(None)
    sampling, encoder = (loader(tiny / "lite" / f"{name}.json") for name in ("sampling", "text_encoder"))
    assert len(programs()) == 1
    assert_computed(sampling(inputs()))
    (context,) = encoder((np.array([[0, 1, 2], [3, 2, 1]], np.int32),))
    np.testing.assert_array_equal(context, [[0, 2, 4], [6, 4, 2]])


def resident(process: int) -> int:
    """Resident memory in kB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def test_hundreds_of_runs_are_the_same_and_memory_stays_flat(
    load: Callable[[Path], LoadedGraph], tiny: Path, programs: Callable[[], set[int]]
) -> None:
    graph = load(tiny)
    first = graph(inputs())
    (program,) = programs()
    files, memory = len(os.listdir("/proc/self/fd")), []
    for _ in range(300):
        for found, expected in zip(graph(inputs()), first, strict=True):
            assert found.tobytes() == expected.tobytes()
        memory.append(resident(program))
    # A leak of one tensor a run would be more than the allocator's own 256 kB after so many runs of 30 tensors.
    assert max(memory[100:]) - memory[100] <= 256
    assert len(os.listdir("/proc/self/fd")) == files


def test_two_sessions_at_the_same_time(tiny: Path) -> None:
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            graph = open_backend(1)(tiny / "lite" / "sampling.json")
            for _ in range(50):
                assert_computed(graph(inputs(seed)), seed)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_one_session_in_two_threads_takes_turns(load: Callable[[Path], LoadedGraph], tiny: Path) -> None:
    graph = load(tiny)
    found: dict[int, Sequence[np.ndarray]] = {}
    threads = [
        threading.Thread(target=lambda seed=seed: found.update({seed: graph(inputs(seed))})) for seed in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, outputs in found.items():
        assert_computed(outputs, seed)
    assert len(found) == 6


def test_a_killed_program_is_an_error_and_the_next_run_works(
    load: Callable[[Path], LoadedGraph], tiny: Path, programs: Callable[[], set[int]]
) -> None:
    graph = load(tiny)
    (child,) = programs()
    os.kill(child, signal.SIGKILL)
    with pytest.raises(BackendError, match=r"coopdraw-run was ended by SIGKILL .*; run again"):
        graph(inputs())
    assert programs() == set()
    assert_computed(graph(inputs()))


def test_killed_in_the_middle_of_a_run(
    load: Callable[[Path], LoadedGraph], tiny: Path, programs: Callable[[], set[int]]
) -> None:
    graph = load(tiny)
    (child,) = programs()
    os.kill(child, signal.SIGSTOP)  # so that the run doesn't end before the kill
    timer = threading.Timer(0.3, os.kill, (child, signal.SIGKILL))
    timer.start()
    with pytest.raises(BackendError, match="was ended by SIGKILL"):
        graph(inputs())
    timer.join()
    assert programs() == set()


def test_an_interrupted_run_ends_the_program(tiny: Path) -> None:
    """In a process of its own: MindSpore, once it is imported, ends a process at SIGINT without Python's exception."""
    done = subprocess.run([sys.executable, "-c", INTERRUPTED, str(tiny)], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "interrupted, 0 programs left, same\n", "")


def test_a_fork_leaves_the_program_to_its_parent(tiny: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FORK, str(tiny)], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "same\n", "")


INTERRUPTED = """
import os, signal, sys, threading
from pathlib import Path
import numpy as np
from coopdraw.runtime.backends.lite import open_backend
children = lambda: Path("/proc/self/task/%d/children" % os.getpid()).read_text().split()
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job has it ignored
graph = open_backend(1)(Path(sys.argv[1]) / "lite" / "sampling.json")
inputs = (np.ones((2, 3), np.float32),) * 2
before = graph(inputs)
(child,) = children()
os.kill(int(child), signal.SIGSTOP)  # so that the run doesn't end before the interrupt
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    graph(inputs)
except KeyboardInterrupt:
    left = len(children())
    same = all(map(np.array_equal, before, graph(inputs)))
    print(f"interrupted, {left} programs left, {'same' if same else 'different'}")
"""
FORK = """
import os, sys
from pathlib import Path
import numpy as np
from coopdraw.runtime.backends.lite import open_backend
graph = open_backend(1)(Path(sys.argv[1]) / "lite" / "sampling.json")
inputs = (np.ones((2, 3), np.float32),) * 2
before = graph(inputs)
child = os.fork()
if child:
    os.waitpid(child, 0)
    print("same" if all(map(np.array_equal, before, graph(inputs))) else "different")
"""
SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from coopdraw.runtime.backends.lite import open_backend
graph = open_backend(1)(Path(sys.argv[1]) / "lite" / "sampling.json")
print(Path(f"/proc/self/task/{__import__('os').getpid()}/children").read_text(), flush=True)
sys.stdin.read()
"""


def test_the_program_ends_with_the_process_that_uses_it(tiny: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    for end in (signal.SIGKILL, signal.SIGTERM, None):
        command = [sys.executable, "-c", SCRIPT, str(tiny)]
        user = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        assert user.stdout is not None
        program = int(user.stdout.readline())
        if end is None:
            user.communicate()
            assert user.returncode == 0
        else:
            user.send_signal(end)
            user.wait()
        deadline = time.monotonic() + 60
        while is_running(program):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert list(tmp_path.iterdir()) == []


def is_running(process: int) -> bool:
    """Whether it runs; a zombie, which waits for whoever inherited it, doesn't."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_a_model_that_lite_refuses(bundle: Path, programs: Callable[[], set[int]]) -> None:
    (bundle / "lite" / "sampling_models" / "step.mindir").write_bytes(b"no model")
    write_manifest(bundle)
    message = r"MindSpore Lite cannot load .*step\.mindir.* \(Lite: .*\)"
    with pytest.raises(BackendError, match=message):
        open_backend(1)(bundle / "lite" / "sampling.json")
    assert programs() == set()


def test_a_model_with_other_inputs_than_its_plan_says(bundle: Path) -> None:
    models = bundle / "lite" / "sampling_models"
    shutil.copy(models / "last.mindir", models / "step.mindir")
    write_manifest(bundle)
    with pytest.raises(BackendError, match=r"takes other inputs in .*step\.mindir"):
        open_backend(1)(bundle / "lite" / "sampling.json")


def test_a_program_that_does_not_start(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, programs: Callable[[], set[int]]
) -> None:
    program = tmp_path / "coopdraw-run"
    monkeypatch.setenv("COOPDRAW_RUN", str(program))
    for text, message in (
        ("#!/nowhere\n", "cannot be started"),
        ("#!/bin/sh\necho no library >&2; exit 127\n", r"ended with status 127 \(no library\)"),
        ("#!/bin/sh\necho hello; sleep 60\n", "coopdraw-run said b'hello'"),
    ):
        program.write_text(text)
        program.chmod(0o755)
        with pytest.raises(BackendError, match=message):
            open_backend(1)(tiny / "lite" / "sampling.json")
        assert programs() == set()


def test_the_program_alone(tiny: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", **example_inputs())
    files = ("--inputs", tmp_path / "in.npz", "--outputs", tmp_path / "out.npz")
    done = subprocess.run([lite_program(), tiny, *files], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    found = np.load(tmp_path / "out.npz")
    assert_computed([found["image"], found["latent"]])


def test_a_converted_model_whose_inputs_have_another_order(bundle: Path, tmp_path: Path) -> None:
    described = manifest(bundle)
    write_manifest(bundle, outputs=described["outputs"][:1])
    write_mindir_model(tmp_path / "model.mindir", [("Sub", 0, 1)], 2, "float32", ("context.text", "noise"))
    np.savez(tmp_path / "in.npz", **example_inputs())
    files = ("--inputs", tmp_path / "in.npz", "--outputs", tmp_path / "out.npz", "--model", tmp_path / "model.mindir")
    done = subprocess.run([lite_program(), bundle, *files], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    expected = example_inputs()["context.text"] - example_inputs()["noise"]
    np.testing.assert_array_equal(np.load(tmp_path / "out.npz")["image"], expected)


@pytest.mark.slow  # builds the library with CMake
@pytest.mark.skipif(shutil.which("cmake") is None, reason="only users of the C interface need CMake")
def test_the_library_for_other_programs(tiny: Path, tmp_path: Path) -> None:
    build, installed = tmp_path / "build", tmp_path / "installed"
    subprocess.run(["cmake", "-S", NATIVE, "-B", build, f"-DCOOPDRAW_LITE={lite_folder()}"], check=True)
    subprocess.run(["cmake", "--build", build, "--parallel", "2"], check=True)
    subprocess.run(["cmake", "--install", build, "--prefix", installed], check=True)
    program = tmp_path / "use"
    source = tmp_path / "use.c"
    source.write_text(USER)
    flags = [f"-I{installed}/include", f"-L{installed}/lib", "-lcoopdraw", "-pthread", f"-Wl,-rpath,{installed}/lib"]
    subprocess.run([os.environ.get("CC") or "gcc", "-Wall", "-Werror", source, *flags, "-o", program], check=True)
    done = subprocess.run([program, tiny], capture_output=True, text=True, env={**os.environ, "GLOG_v": "4"})
    assert (done.returncode, done.stderr) == (0, "")


USER = """\
#include <coopdraw.h>
#include <pthread.h>
#include <stdio.h>

static void* work(void* bundle) { /* two sessions at the same time, each in its thread; NULL if all is well */
  static _Thread_local char problem[200];
  const float noise[6] = {1, 2, 3, 4, 5, 6}, context[6] = {6, 5, 4, 3, 2, 1};
  float first[6], again[6];
  coopdraw_options options = {0};
  coopdraw_session* session;
  int failed = coopdraw_open(bundle, &options, &session);
  failed = failed || coopdraw_set(session, "noise", noise, sizeof(noise));
  failed = failed || coopdraw_set(session, "context.text", context, sizeof(context));
  for (int run = 0; run < 200 && !failed; run++) {
    float* image = run == 0 ? first : again;
    failed = coopdraw_run(session, NULL, NULL) || coopdraw_get(session, "image", image, sizeof(first));
    for (int i = 0; i < 6 && run > 0; i++) failed = failed || first[i] != again[i];
  }
  if (failed) fprintf(stderr, "%s\\n", coopdraw_error());
  else coopdraw_close(session);
  return failed ? problem : NULL;
}

int main(int count, char** arguments) {
  pthread_t threads[2];
  int failed = count != 2;
  for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, work, arguments[1]);
  for (int i = 0; i < 2; i++) {
    void* problem;
    pthread_join(threads[i], &problem);
    failed = failed || problem != NULL;
  }
  return failed;
}
"""
