"""`coopdraw kernels`: which kernels there are, their operator project, and what the simulator says about them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from coopdraw.exporter.cli.debug import debug_option

if TYPE_CHECKING:
    from coopdraw.exporter.kernel_runs.source_run import SourceCall
    from coopdraw.graphs.types import TensorType

_SOCS = ("ascend910b", "ascend910b1", "ascend310p")
_PROJECT_SOCS = ("ascend910b", "ascend310p")
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_target_option = click.option(
    "--target", type=click.Choice(_SOCS), default=_SOCS[0], show_default=True, help="The SoC that is simulated."
)
_input_option = click.option(
    "--input",
    "shapes",
    multiple=True,
    metavar="SHAPE",
    help="Shape of an operand, such as 1x320x64x64; the first is needed.",
)
_set_option = click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="An attribute of the operator."
)
_dtype_option = click.option(
    "--dtype", type=click.Choice(("float16", "float32")), default="float16", show_default=True, help="Of every operand."
)
_seed_option = click.option("--seed", type=int, default=0, show_default=True, help="Of the random operands.")


@click.group("kernels", short_help="List, simulate and tune kernels; write the Ascend operator project.")
@debug_option
def command() -> None:
    """Kernels for the CPU and for Ascend.

    \b
    Examples:
      coopdraw kernels list
      coopdraw kernels project operators --layout cann8 --soc ascend910b
      coopdraw kernels simulate fused_group_norm --input 1x320x64x64 --set groups=32
      coopdraw kernels tune linear_combination --input 1x4x128x128
    """


@command.command("list", short_help="Operators with kernels, and what was checked of them.")
@_json_option
@debug_option
def list_command(as_json: bool) -> None:
    """Lists every operator that has a kernel."""
    from coopdraw.exporter.cli.kernel_tables import print_entries
    from coopdraw.exporter.kernel_runs.listing import kernel_entries

    entries = kernel_entries()
    if as_json:
        click.echo(json.dumps([entry.as_dict() for entry in entries], indent=1))
    else:
        print_entries(entries)


@command.command("project", short_help="Write the operator project that CANN's toolkit builds.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--layout", type=click.Choice(("cann8", "cann9")), default="cann8", show_default=True, help="Form of the sources."
)
@click.option(
    "--soc", "socs", multiple=True, type=click.Choice(_PROJECT_SOCS), help="SoC to build for; all without it."
)
@click.option("--kernel", "names", multiple=True, metavar="NAME", help="Operator or device type; all without it.")
@debug_option
def project_command(folder: Path, layout: str, socs: tuple[str, ...], names: tuple[str, ...]) -> None:
    """Writes the Ascend C operator project into FOLDER, which must be new or empty."""
    from coopdraw.exporter.kernel_runs.listing import kernels_named
    from coopdraw.kernels.ascend.project import write_project

    kernels = kernels_named(names)
    write_project(folder, kernels, layout, socs or _PROJECT_SOCS)
    click.echo(f"wrote {folder}: {', '.join(kernel.type_name for kernel in kernels)}")


@command.command("simulate", short_help="Run a kernel in the simulator and report on it.")
@click.argument("operator", required=False)
@_input_option
@_set_option
@_target_option
@_dtype_option
@_seed_option
@click.option("--source", type=click.Path(path_type=Path), help="Folder of an operator of a public repository.")
@click.option("--entry", metavar="NAME", help="With --source: the kernel function.")
@click.option("--inputs", "inputs_path", type=click.Path(path_type=Path), help="With --source: NPZ of inputs, by name.")
@click.option("--output", "outputs", multiple=True, metavar="NAME=SHAPE:DTYPE", help="With --source: an output.")
@click.option("--tiling", type=click.Path(path_type=Path), help="With --source: JSON of the tiling struct's fields.")
@click.option("--tiling-struct", metavar="NAME", help="With --source: its name, where several are registered.")
@click.option("--tiling-key", type=int, default=0, show_default=True, help="With --source: which branch of the kernel.")
@click.option("--cores", type=click.IntRange(1), help="With --source: blocks; all cores without it.")
@click.option(
    "--workspace", type=click.IntRange(0), default=0, show_default=True, help="With --source: the kernel's bytes."
)
@click.option("--define", "defines", multiple=True, metavar="NAME=VALUE", help="With --source: a macro, DTYPE_X=half.")
@click.option(
    "--synchronisation",
    type=click.Choice(("strict", "automatic")),
    default="automatic",
    show_default=True,
    help="With --source: whether the device compiler adds order between vector and scalar instructions.",
)
@click.option("--partial", multiple=True, metavar="NAME", help="With --source: an output that may stay unwritten.")
@click.option(
    "--readable-past-end", type=click.IntRange(0), default=0, help="With --source: bytes readable behind inputs."
)
@click.option("--outputs", "outputs_path", type=click.Path(path_type=Path), help="With --source: NPZ to write.")
@_json_option
@debug_option
def simulate_command(operator: str | None, source: Path | None, as_json: bool, **options: Any) -> None:
    """Runs a kernel on all its cores in the simulator: ours for OPERATOR, or any of a folder with --source.

    Operands that aren't given follow from the first, attributes have defaults. A fault of the kernel ends with 1.
    What is reported is functional: nothing is compiled with bisheng or run on an NPU, and times are an estimate.

    \b
    Examples:
      coopdraw kernels simulate attention --input 1x4096x640 --input 1x77x640 --set heads=10
      coopdraw kernels simulate group_norm --input 2x320x64x64 --target ascend310p --json
      coopdraw kernels simulate --source ops-nn/activation/ge_glu_v2 --entry ge_glu_v2 --inputs in.npz \\
        --output y=77x1280:float16 --output gelu=77x1280:float16 --tiling tiling.json --tiling-key 101
    """
    if (operator is None) == (source is None):
        raise click.UsageError("name an operator, or a folder with --source")
    if source is None:
        _simulate_node(str(operator), as_json, **{name: options[name] for name in _NODE_OPTIONS})
    else:
        _simulate_source(source, as_json, options)


_NODE_OPTIONS = ("shapes", "settings", "target", "dtype", "seed")


@command.command("tune", short_help="Try tile sizes in the simulator, the fastest by estimate first.")
@click.argument("operator")
@_input_option
@_set_option
@_target_option
@_dtype_option
@_seed_option
@_json_option
@debug_option
def tune_command(operator: str, as_json: bool, target: str, **options: Any) -> None:
    """Simulates the kernel of OPERATOR with the tile sizes that its tiling allows, and sorts them by estimate."""
    from coopdraw.exporter.cli.kernel_tables import print_trials
    from coopdraw.exporter.kernel_runs.node_run import kernel_of
    from coopdraw.exporter.kernel_runs.tuning import tune
    from coopdraw.kernels.simulator.soc import SOCS

    node, arrays = _node(operator, **options)
    trials = tune(kernel_of(node, SOCS[target]), node, arrays, SOCS[target])
    if as_json:
        click.echo(json.dumps([trial.as_dict() for trial in trials], indent=1))
    else:
        print_trials(trials)


def _simulate_node(operator: str, as_json: bool, target: str, **options: Any) -> None:
    from coopdraw.exporter.cli.kernel_tables import print_node_run
    from coopdraw.exporter.kernel_runs.node_run import kernel_of, run_node
    from coopdraw.kernels.simulator.soc import SOCS

    node, arrays = _node(operator, **options)
    run = run_node(kernel_of(node, SOCS[target]), node, arrays, SOCS[target])
    if as_json:
        click.echo(json.dumps(run.as_dict(), indent=1))
    else:
        print_node_run(run)


def _simulate_source(source: Path, as_json: bool, options: dict[str, Any]) -> None:
    import numpy as np

    from coopdraw.exporter.cli.files import replaced_file
    from coopdraw.exporter.cli.kernel_tables import print_source_run
    from coopdraw.exporter.kernel_runs.operator_folder import open_operator
    from coopdraw.exporter.kernel_runs.source_run import run_source
    from coopdraw.kernels.simulator.soc import SOCS

    lacking = [
        f"--{name.removesuffix('_path')}" for name in ("entry", "inputs_path", "tiling") if options[name] is None
    ]
    if lacking or not options["outputs"]:
        raise click.UsageError(f"--source needs {', '.join(lacking) or '--output'}, too")
    run = run_source(open_operator(source, options["entry"]), _source_call(options), SOCS[options["target"]])
    if options["outputs_path"] is not None:
        with replaced_file(options["outputs_path"]) as file:
            np.savez(file, **run.outputs)
    if as_json:
        click.echo(json.dumps(run.as_dict(), indent=1))
    else:
        print_source_run(run)


def _source_call(options: dict[str, Any]) -> SourceCall:
    from coopdraw.exporter.kernel_runs.source_files import read_inputs, read_tiling
    from coopdraw.exporter.kernel_runs.source_run import SourceCall

    return SourceCall(
        inputs=read_inputs(options["inputs_path"]),
        outputs=dict(map(_output, options["outputs"])),
        tiling=read_tiling(options["tiling"]),
        key=options["tiling_key"],
        blocks=options["cores"],
        workspace_bytes=options["workspace"],
        defines=dict(_pairs("--define", options["defines"])),
        struct=options["tiling_struct"],
        synchronisation=options["synchronisation"],
        partial=options["partial"],
        readable_past_end=options["readable_past_end"],
    )


def _node(operator: str, shapes: tuple[str, ...], settings: tuple[str, ...], dtype: str, seed: int) -> Any:
    from coopdraw.exporter.kernel_runs.example_nodes import example_node, parse_shape
    from coopdraw.graphs.types import DType

    given = dict(_pairs("--set", settings))
    return example_node(operator, [parse_shape(shape) for shape in shapes], given, DType(dtype), seed)


def _pairs(option: str, texts: Iterable[str]) -> Iterable[tuple[str, str]]:
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise click.UsageError(f"{option} {text} is no NAME=VALUE")
        yield name, value


def _output(text: str) -> tuple[str, TensorType]:
    from coopdraw.exporter.kernel_runs.example_nodes import parse_shape
    from coopdraw.graphs.types import DType, TensorType

    name, _, rest = text.partition("=")
    shape, _, dtype = rest.partition(":")
    if not name or dtype not in set(DType):
        raise click.UsageError(f"--output {text} is no NAME=SHAPE:DTYPE such as y=2x320:float16")
    return name, TensorType(DType(dtype), parse_shape(shape))
