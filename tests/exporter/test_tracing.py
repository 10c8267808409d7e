"""Cells of other projects, traced without weights: what the graph computes, what it costs, and what is refused."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from graphs.onnx_oracle import onnx_node, run_onnx
from mindspore import Tensor, lazy_inline, nn
from mindspore.nn.utils import no_init_parameters

from coopdraw.exporter.tracing import trace
from coopdraw.graphs import interpreter
from coopdraw.graphs.errors import MindirError, WeightError
from coopdraw.graphs.ir import Module
from coopdraw.graphs.mindir.reader import read_mindir
from coopdraw.graphs.mindir.writer import write_mindir
from coopdraw.graphs.text import format_module
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.verifier import verify
from coopdraw.graphs.weights import ArrayWeight, Weight
from coopdraw.runtime.backends.mindspore import open_backend
from exporter import mint_cells

BATCH, SIZE, WORDS = 2, 6, 5
LATENT = np.random.default_rng(1).standard_normal((BATCH, 4, SIZE, SIZE)).astype(np.float32)
CONTEXT = np.random.default_rng(2).standard_normal((BATCH, WORDS, mint_cells.CONTEXT)).astype(np.float32)
FEEDS = {"latent": LATENT, "timestep": np.float32([3.5]), "context": CONTEXT}

# A dozen layers of float32 whose values are around 1, each summing in another order than the reference.
TOLERANCE = 2e-5


def types_of(feeds: Mapping[str, np.ndarray]) -> dict[str, TensorType]:
    return {name: TensorType.of(array) for name, array in feeds.items()}


def empty(factory: Callable[[], nn.Cell]) -> nn.Cell:
    """The Cell without memory for its parameters."""
    with no_init_parameters():
        return factory()


def random_weights(cell: nn.Cell) -> dict[str, np.ndarray]:
    """Arrays for every parameter, small enough that a dozen layers keep values around 1."""
    random = np.random.default_rng(0)
    shapes = {name: tuple(parameter.shape) for name, parameter in cell.parameters_and_names()}
    return {
        name: (random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        for name, shape in shapes.items()
    }


def bound(weights: Mapping[str, np.ndarray]) -> dict[str, Weight]:
    return {name: ArrayWeight(array) for name, array in weights.items()}


def run_in_mindspore(module: Module, feeds: Mapping[str, np.ndarray], folder: Path) -> list[np.ndarray]:
    """Written as MindIR and run on MindSpore's CPU kernels."""
    write_mindir(module, folder / "graph.mindir")
    verify(read_mindir(folder / "graph.mindir"))
    return list(open_backend(1)(folder / "graph.mindir")([feeds[value.name] for value in module.entry.inputs]))


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    return random_weights(empty(mint_cells.Model))


@pytest.fixture(scope="module")
def model(weights: dict[str, np.ndarray]) -> Module:
    cell = empty(mint_cells.Model)
    module = trace(cell, "model", types_of(FEEDS), ["epsilon"], bound(weights))
    verify(module)
    return module


class Reference:
    """The model in NumPy, onnxruntime for convolutions; layers are named by the paths of their parameters."""

    def __init__(self, weights: Mapping[str, np.ndarray]) -> None:
        self.weights = weights

    def run(self, latent: np.ndarray, timestep: np.ndarray, context: np.ndarray) -> np.ndarray:
        angles = timestep[:, None] * np.exp(np.arange(4) * -2.0)[None]
        embedding = np.concatenate([np.cos(angles), np.sin(angles)], -1)
        embedding = self.linear(silu(self.linear(embedding, "time_embedding.0")), "time_embedding.2")
        x = self.conv(latent, "conv_in")
        for index in range(2):
            x = self.resnet(x, embedding, f"resnets.{index}")
        tokens = self.linear(x.reshape(*x.shape[:2], -1).swapaxes(1, 2), "proj_in")
        tokens = self.transformer(tokens, context, "blocks.0")
        x = x + tokens.swapaxes(1, 2).reshape(x.shape)
        x = self.conv(x.repeat(2, axis=2).repeat(2, axis=3), "upsample.conv")
        return self.conv(silu(x), "conv_out")

    def resnet(self, x: np.ndarray, embedding: np.ndarray, path: str) -> np.ndarray:
        hidden = self.conv(silu(self.group_norm(x, f"{path}.norm1")), f"{path}.conv1")
        hidden = hidden + self.linear(silu(embedding), f"{path}.time_emb_proj")[:, :, None, None]
        hidden = self.conv(silu(self.group_norm(hidden, f"{path}.norm2")), f"{path}.conv2")
        shortcut = f"{path}.conv_shortcut"
        return hidden + (self.conv(x, shortcut) if f"{shortcut}.weight" in self.weights else x)

    def transformer(self, x: np.ndarray, context: np.ndarray, path: str) -> np.ndarray:
        normed = self.layer_norm(x, f"{path}.norm1")
        x = x + self.attention(normed, normed, f"{path}.attn1")
        x = x + self.attention(self.layer_norm(x, f"{path}.norm2"), context, f"{path}.attn2")
        hidden, gate = np.split(self.linear(self.layer_norm(x, f"{path}.norm3"), f"{path}.ff.0.proj"), 2, axis=-1)
        (gate,) = run_onnx([onnx_node("Gelu", ["x"])], {"x": gate.astype(np.float32)})
        return x + self.linear(hidden * gate, f"{path}.ff.2")

    def attention(self, x: np.ndarray, context: np.ndarray, path: str) -> np.ndarray:
        query, key, value = (
            self.linear(source, f"{path}.{name}").reshape(BATCH, -1, mint_cells.HEADS, x.shape[-1] // mint_cells.HEADS)
            for source, name in ((x, "to_q"), (context, "to_k"), (context, "to_v"))
        )
        scores = np.exp(np.einsum("blhd,bshd->bhls", query, key) / np.sqrt(query.shape[-1]))
        scores /= scores.sum(-1, keepdims=True)
        return self.linear(np.einsum("bhls,bshd->blhd", scores, value).reshape(x.shape), f"{path}.to_out.0")

    def linear(self, x: np.ndarray, path: str) -> np.ndarray:
        return np.asarray(x @ self.weights[f"{path}.weight"].T + self.weights.get(f"{path}.bias", 0))

    def conv(self, x: np.ndarray, path: str) -> np.ndarray:
        kernel = self.weights[f"{path}.weight"]
        feeds = {"x": x.astype(np.float32), "w": kernel, "b": self.weights[f"{path}.bias"]}
        node = onnx_node("Conv", ["x", "w", "b"], pads=[kernel.shape[2] // 2] * 4)
        return run_onnx([node], feeds)[0]

    def group_norm(self, x: np.ndarray, path: str) -> np.ndarray:
        groups = x.reshape(x.shape[0], mint_cells.GROUPS, -1)
        normed = normalised(groups, 1e-6).reshape(*x.shape[:2], -1)
        scaled = normed * self.weights[f"{path}.weight"][:, None] + self.weights[f"{path}.bias"][:, None]
        return scaled.reshape(x.shape)

    def layer_norm(self, x: np.ndarray, path: str) -> np.ndarray:
        return normalised(x, 1e-5) * self.weights[f"{path}.weight"] + self.weights[f"{path}.bias"]


def silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


def normalised(x: np.ndarray, epsilon: float) -> np.ndarray:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + epsilon)


def test_a_model_of_mint_computes_what_it_says(model: Module, weights: dict[str, np.ndarray], tmp_path: Path) -> None:
    expected = Reference(weights).run(**FEEDS)
    assert expected.shape == (BATCH, 4, 2 * SIZE, 2 * SIZE)
    assert 0.1 < expected.std() < 10  # or the comparison would say little
    interpreted = interpreter.run(model, FEEDS)["epsilon"]
    (executed,) = run_in_mindspore(model, FEEDS, tmp_path)
    np.testing.assert_allclose(interpreted, expected, rtol=TOLERANCE, atol=TOLERANCE)
    np.testing.assert_allclose(executed, expected, rtol=TOLERANCE, atol=TOLERANCE)


def test_mint_resizes_as_onnxruntime_does(tmp_path: Path) -> None:
    feeds = {"image": LATENT}
    names = ["nearest", "linear", "linear aligned", "cubic", "cubic aligned"]
    module = trace(mint_cells.Resizes(), "resizes", types_of(feeds), [name.replace(" ", "_") for name in names])
    executed = run_in_mindspore(module, feeds, tmp_path)
    for name, interpreted, ran in zip(names, interpreter.run(module, feeds).values(), executed, strict=True):
        mode = name.split()[0]
        coordinates = "asymmetric" if mode == "nearest" else "align_corners" if "aligned" in name else "half_pixel"
        attributes = {"mode": mode, "coordinate_transformation_mode": coordinates, "nearest_mode": "floor"}
        node = onnx_node("Resize", ["x", "", "", "sizes"], **attributes, cubic_coeff_a=-0.75)
        (expected,) = run_onnx([node], {"x": LATENT}, constants={"sizes": np.array([BATCH, 4, 9, 4])})
        np.testing.assert_allclose(interpreted, expected, rtol=TOLERANCE, atol=TOLERANCE)
        np.testing.assert_allclose(ran, expected, rtol=TOLERANCE, atol=TOLERANCE)


def test_weights_have_the_names_of_parameters_under_the_model(model: Module, weights: dict[str, np.ndarray]) -> None:
    assert set(model.weights) == {f"model.{name}" for name in weights}
    assert {name.removeprefix("model."): weight.type.shape for name, weight in model.weights.items()} == {
        name: array.shape for name, array in weights.items()
    }


def test_inputs_and_outputs_have_the_names_asked_for(model: Module) -> None:
    assert [value.name for value in model.entry.inputs] == list(FEEDS)
    assert model.entry.output_names == ("epsilon",)
    assert model.entry.name == "model"


def test_weights_that_are_not_bound_say_so_when_they_are_read() -> None:
    module = trace(empty(mint_cells.Model), "model", types_of(FEEDS), ["epsilon"])
    with pytest.raises(WeightError, match=r"conv_in\.weight was traced without bytes; bind a checkpoint first"):
        module.weights["model.conv_in.weight"].read()


def test_nodes_carry_the_path_of_the_cell_whose_weight_they_read(model: Module) -> None:
    checked = set()
    for node in model.entry.nodes:
        read = [model.entry.producers.get(value) for value in node.inputs]
        names = [str(maker.attributes["name"]) for maker in read if maker is not None and maker.operator == "weight"]
        if names:
            assert {name.removeprefix("model.").rpartition(".")[0] for name in names} == {node.source}
            checked.add(node.source)
    assert {
        "conv_in",
        "resnets.0.norm1",
        "blocks.0.attn1.to_q",
        "blocks.0.attn2.to_out.0",
        "blocks.0.ff.0.proj",
    } <= checked
    assert len(checked) == len({name.rpartition(".")[0] for name in model.weights})


def test_nodes_without_weights_carry_the_path_of_their_cell(model: Module) -> None:
    sources = {node.operator: node.source for node in model.entry.nodes}
    assert sources["resize"] == "upsample"
    # MindSpore compiles both attentions' softmax once and gives it the first one's path.
    assert sources["softmax"] == "blocks.0.attn1"


def test_a_lazily_inlined_cell_stays_one_function(tmp_path: Path) -> None:
    feeds = {"x": CONTEXT[0, :, :4]}
    weights = random_weights(empty(mint_cells.SharedTwice))
    module = trace(empty(mint_cells.SharedTwice), "twice", types_of(feeds), ["y"], bound(weights))
    verify(module)
    assert len(module.functions) == 1
    expected = feeds["x"]
    for index in range(2):
        expected = np.tanh(expected @ weights[f"blocks.{index}.proj.weight"].T + weights[f"blocks.{index}.proj.bias"])
    np.testing.assert_allclose(interpreter.run(module, feeds)["y"], expected, rtol=TOLERANCE, atol=TOLERANCE)
    (executed,) = run_in_mindspore(module, feeds, tmp_path)
    np.testing.assert_allclose(executed, expected, rtol=TOLERANCE, atol=TOLERANCE)


def test_tracing_takes_no_memory_for_weights(tmp_path: Path) -> None:
    code = """
import re, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from exporter.mint_cells import Huge
from mindspore.nn.utils import no_init_parameters
from coopdraw.exporter.tracing import trace
from coopdraw.graphs.text import format_module
from coopdraw.graphs.types import DType, TensorType
with no_init_parameters():
    cell = Huge()
module = trace(cell, "huge", {"x": TensorType(DType.FLOAT32, (1, 32768))}, ["y"])
assert module.weights["huge.proj.weight"].type.nbytes == 4 * 32768**2
print("peak", re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""
    tests = Path(__file__).parents[1]
    command = [sys.executable, "-c", code, str(tests)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    # MindSpore itself takes about 0.5 GB; the weights would be 4.3 GB.
    assert 1024 * int(done.stdout.split("peak")[1]) < 1.5e9


X = {"x": TensorType(DType.FLOAT32, (2, 4))}


def refusal(cell: nn.Cell, outputs: list[str], inputs: Mapping[str, TensorType] = X) -> str:
    """The message with which a trace fails: one line with cause and fix."""
    with pytest.raises(MindirError) as caught:
        trace(cell, "net", inputs, outputs)
    message = str(caught.value)
    assert message.isprintable()
    assert "; " in message
    assert len(message) < 300
    return message


def test_an_unsupported_primitive_is_named_with_its_cell() -> None:
    message = refusal(mint_cells.Nested(mint_cells.Unsupported()), ["y"])
    assert re.match(r"SortExt in Cell blocks\.0\.attn is not supported; use another primitive in the Cell or ", message)


def test_a_shape_that_depends_on_values_is_refused_with_its_cell() -> None:
    message = refusal(mint_cells.Nested(mint_cells.Selecting()), ["y"])
    assert "Cell blocks.0.attn" in message
    assert "is dynamic; export the Cell with static shapes" in message


def test_what_set_inputs_leaves_open_gets_the_shape_asked_for() -> None:
    cell = mint_cells.TwoOutputs()
    cell.set_inputs(Tensor(shape=[None, 4], dtype=Tensor(0.5).dtype))
    module = trace(cell, "net", X, ["y", "z"])
    assert [value.type for value in module.entry.outputs] == [X["x"], X["x"]]


def test_a_cell_that_is_no_graph_is_refused() -> None:
    message = refusal(mint_cells.NotInAGraph(), ["y"])
    assert message.startswith(
        "net: MindSpore can't trace NotInAGraph (AttributeError: 'Tensor' object has no attribute"
    )


@pytest.mark.parametrize("outputs", [["y"], ["y", "z", "w"]])
def test_another_number_of_outputs_is_refused(outputs: list[str]) -> None:
    message = refusal(mint_cells.TwoOutputs(), outputs)
    assert f"1 inputs and 2 outputs, but 1 and {len(outputs)} are expected" in message


@pytest.mark.parametrize("count", [0, 2])
def test_another_number_of_inputs_is_refused(count: int) -> None:
    inputs = {f"x{index}": X["x"] for index in range(count)}
    assert "can't trace TwoOutputs" in refusal(mint_cells.TwoOutputs(), ["y", "z"], inputs)


@pytest.mark.parametrize("cell", [mint_cells.NestedOutputs(), mint_cells.NumberAsOutput()])
def test_outputs_that_are_no_tensors_are_refused(cell: nn.Cell) -> None:
    assert "is not a tensor; return tensors or one tuple" in refusal(cell, ["y", "z"])


def test_a_failed_trace_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    refusal(mint_cells.NotInAGraph(), ["y"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [AssertionError(), OSError(28, "No space left on device"), KeyError("heads")])
def test_errors_of_any_kind_are_one_sentence(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    from mindspore.graph.api import _cell_graph_executor

    def fail(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(_cell_graph_executor, "compile", fail)
    with pytest.raises(MindirError, match=rf"can't trace Dense \({type(error).__name__}: .+\); see --debug$"):
        trace(empty(lambda: nn.Dense(3, 4)), "dense", {"x": TensorType(DType.FLOAT32, (2, 3))}, ["y"])


def test_a_weight_of_another_type_than_the_cells_is_refused() -> None:
    cell = empty(lambda: nn.Dense(3, 4))
    weights = {"weight": ArrayWeight(np.zeros((4, 3), np.float16)), "bias": ArrayWeight(np.zeros(4, np.float32))}
    with pytest.raises(
        MindirError, match=r"declares the parameter weight as float32\[4, 3\], but its weight is float16"
    ):
        trace(cell, "dense", {"x": TensorType(DType.FLOAT32, (2, 3))}, ["y"], weights)


class Inlined(nn.Cell):
    """A block that MindSpore keeps as a function of its own."""

    @lazy_inline
    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Dense(3, 3)

    def construct(self, x: Tensor) -> Tensor:
        return self.dense(x)


class Stacked(nn.Cell):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Inlined(), Inlined()

    def construct(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


def test_functions_inside_a_cell_have_the_same_names_every_time() -> None:
    random = np.random.default_rng(0)
    weights = {
        f"{name}.dense.{part}": random.standard_normal(shape).astype(np.float32)
        for name in ("first", "second")
        for part, shape in (("weight", (3, 3)), ("bias", (3,)))
    }
    x = random.standard_normal((2, 3)).astype(np.float32)
    texts = set()
    for _ in range(2):
        module = trace(empty(Stacked), "stack", {"x": TensorType.of(x)}, ["y"], bound(weights))
        verify(module)
        texts.add(format_module(module))
    assert len(texts) == 1
    wanted = x
    for name in ("first", "second"):
        wanted = wanted @ weights[f"{name}.dense.weight"].T + weights[f"{name}.dense.bias"]
    # two small products in another order of summation
    np.testing.assert_allclose(interpreter.run(module, {"x": x})["y"], wanted, rtol=1e-5, atol=1e-5)
