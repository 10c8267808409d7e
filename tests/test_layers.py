"""Imports go downwards only, and what must start quickly imports nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ALLOWED = {
    "graphs": {"graphs"},
    "runtime": {"runtime", "graphs.errors", "graphs.mindir.schema"},
    "kernels": {"kernels", "graphs", "runtime"},
    "exporter": {"exporter", "kernels", "graphs", "runtime"},
    "benchmarks": {"benchmarks", "kernels", "graphs", "runtime"},
}
HEAVY = ("mindspore", "torch", "onnx", "onnxruntime")


def imports(path: Path) -> set[str]:
    """Names of our modules that a file imports, without `coopdraw.`, wherever the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return {name.removeprefix("coopdraw.") for name in found if name.startswith("coopdraw.")}


@pytest.mark.parametrize("folder", [name for name in ALLOWED if (ROOT / name).is_dir()])
def test_imports_go_downwards(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        for name in imports(path):
            parts = name.split(".")
            prefixes = {".".join(parts[: count + 1]) for count in range(len(parts))}
            # `from coopdraw.graphs import x` names the package and then the module.
            partial = any(allowed.startswith(f"{name}.") for allowed in ALLOWED[folder])
            assert prefixes & ALLOWED[folder] or partial, f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize(
    "module",
    [
        "coopdraw.exporter.cli",
        "coopdraw.exporter.recipe",
        "coopdraw.exporter.compiler",
        "coopdraw.exporter.doctor",
        "coopdraw.exporter.checkpoints.load",
        "coopdraw.graphs.mindir.reader",
        "coopdraw.graphs.onnx.writer",
        "coopdraw.graphs.passes.pipelines",
        "coopdraw.runtime.ascend_conversion",
        "coopdraw.runtime.session",
    ],
)
def test_heavy_packages_are_imported_late(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_package_is_listed_for_installation() -> None:
    listed = (ROOT / "pyproject.toml").read_text()
    for folder in ALLOWED:
        for path in (ROOT / folder).rglob("__init__.py"):
            package = ".".join(path.parent.relative_to(ROOT).parts)
            assert f'"coopdraw.{package}"' in listed, package


def test_every_data_file_is_listed_for_installation() -> None:
    """What lies beside the modules (templates, C++, recipes) is in the wheel."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    for folder in ALLOWED:
        patterns = listed.get(f"coopdraw.{folder}", ())
        taken = {path for pattern in patterns for path in (ROOT / folder).glob(pattern)}
        others = {
            path
            for path in (ROOT / folder).rglob("*")
            if path.is_file() and path.suffix not in (".py", ".pyc") and "__pycache__" not in path.parts
        }
        assert others <= taken, sorted(str(path.relative_to(ROOT)) for path in others - taken)
