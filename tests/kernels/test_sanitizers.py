"""The kernels built with address, undefined behaviour and thread sanitizers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from coopdraw.kernels.cpu.build import cpu_sources

POOL = """
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "cpu/parallel.h"

int main() {
  std::vector<std::thread> callers;
  std::atomic<int> wrong{0};
  for (int caller = 0; caller < 3; ++caller) {
    callers.emplace_back([&] {
      for (int round = 0; round < 300; ++round) {
        std::vector<int> done(1 + round % 37);
        const auto task = [](const void* context, int64_t index) {
          ++const_cast<std::vector<int>&>(*static_cast<const std::vector<int>*>(context))[index];
        };
        coopdraw::run_tasks(static_cast<int64_t>(done.size()), task, &done);
        for (int count : done) wrong += count != 1;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  std::puts(wrong ? "wrong" : "done");
  std::fflush(stdout);
  std::quick_exit(0);  // the pool's threads go on waiting
}
"""


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    folder = tmp_path / "sources"
    for name, data in cpu_sources().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def runtime(name: str) -> str:
    """The sanitizer's library, or a skip where the compiler has none."""
    found = subprocess.run(["g++", f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    if not Path(found.stdout.strip()).is_absolute():
        pytest.skip(f"g++ has no {name}")
    return found.stdout.strip()


@pytest.mark.slow
def test_no_kernel_leaves_its_tensors(sources: Path, tmp_path: Path) -> None:
    preload = runtime("libasan.so")
    flags = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
    subprocess.run(["sh", "cpu/build.sh", "sanitized.so", *flags], cwd=sources, check=True)
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("sanitized_calls.py")), "sanitized.so", str(tmp_path)],
        cwd=sources,
        env={
            **os.environ,
            "LD_PRELOAD": preload,
            "ASAN_OPTIONS": "detect_leaks=0",
            "PYTHONPATH": str(Path(__file__).parents[1]),
        },
        capture_output=True,
        text=True,
    )
    assert done.stdout == "done\n", done.stderr


def test_the_threads_share_nothing_unguarded(sources: Path) -> None:
    runtime("libtsan.so")
    (sources / "pool.cc").write_text(POOL)
    flags = ["-std=c++17", "-O1", "-g", "-I.", "-DCOOPDRAW_LEVEL=baseline", "-fsanitize=thread", "-pthread"]
    subprocess.run(["g++", *flags, "pool.cc", "cpu/parallel.cc", "-o", "pool"], cwd=sources, check=True)
    done = subprocess.run(["./pool"], cwd=sources, capture_output=True, text=True, timeout=120)
    assert done.stdout == "done\n", done.stderr
    assert done.returncode == 0, done.stderr
