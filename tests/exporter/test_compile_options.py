"""Options of `coopdraw compile` that stand in for keys of the recipe."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from exporter.shapes import write_recipe

from coopdraw.exporter.cli.app import app
from coopdraw.exporter.recipe import Recipe


@pytest.mark.parametrize(
    ("options", "kernels", "level", "disabled"),
    [
        ((), True, "full", ()),
        (("--no-kernels",), False, "full", ()),
        (("--no-kernels", "--passes", "none"), False, "none", ()),
        (("--disable-pass", "dead-code"), True, "full", ("dead-code",)),
    ],
)
def test_options_replace_keys(
    options: tuple[str, ...],
    kernels: bool,
    level: str,
    disabled: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled: list[Recipe] = []
    monkeypatch.setattr("coopdraw.exporter.compiler.compile_pipeline", lambda recipe, *_, **__: compiled.append(recipe))
    recipe = write_recipe(tmp_path, lambda text: text)
    done = CliRunner().invoke(app, ["compile", str(recipe), "-o", str(tmp_path / "a.bundle"), *options])
    assert done.exit_code == 0, done.output
    assert (compiled[0].target.kernels, compiled[0].passes.level, compiled[0].passes.disabled) == (
        kernels,
        level,
        disabled,
    )
