"""Compiling costs the graph and the largest tensor, not the model."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from exporter.shapes import command, coopdraw

from coopdraw.runtime.bundle import Bundle

GIGABYTE = 1e9


def peak_memory(arguments: list[str]) -> float:
    """Peak resident bytes of a process, from the kernel's accounting when it is reaped.

    This counts mapped pages of the weights, too, so it is an upper bound of what the process itself holds.
    """
    process = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss * 1024.0


@pytest.mark.slow
def test_two_gigabytes_of_weights_compile_in_less_than_one(tmp_path: Path) -> None:
    writer = Path(__file__).with_name("synthetic.py")
    written = subprocess.run(
        [sys.executable, str(writer), str(tmp_path / "synthetic"), "2"], capture_output=True, text=True, check=True
    )
    assert int(written.stdout) >= 2 * GIGABYTE
    bundle = tmp_path / "x.bundle"
    peak = peak_memory(command("compile", tmp_path / "synthetic" / "recipe.toml", "-o", bundle, "--no-verify"))
    print(f"peak resident memory: {peak / GIGABYTE:.2f} GB for {int(written.stdout) / GIGABYTE:.2f} GB of weights")
    assert peak < GIGABYTE
    stored = sorted(path.name for path in (bundle / "sampling_variables").iterdir())
    assert stored == ["data_0", "data_1", "data_2"]  # MindSpore's limit is 1 GiB a file
    generator = np.random.default_rng(0)
    specs = Bundle.open(bundle, check=False).manifest.inputs
    inputs = {spec.name: generator.standard_normal(spec.shape, np.float32) for spec in specs}
    np.savez(tmp_path / "in.npz", **inputs)
    done = coopdraw("run", bundle, "--inputs", tmp_path / "in.npz", "--outputs", tmp_path / "out.npz")
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "out.npz") as outputs:
        assert np.isfinite(outputs["latent"]).all()
