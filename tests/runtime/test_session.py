"""Sessions run the tiny bundle as NumPy says, and refuse inputs that the graph would take wrongly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from runtime.tiny_bundle import INPUTS, WORDS, expected_outputs, expected_text, write_manifest

from coopdraw.runtime.bundle import Bundle
from coopdraw.runtime.errors import BackendError, BundleError, InputError
from coopdraw.runtime.manifest import Form
from coopdraw.runtime.session import Session

# Sums of a dozen float32 numbers of size 1, in another order.
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def session(bundle_folder: Path) -> Iterator[Session]:
    with Session(Bundle.open(bundle_folder)) as opened:
        yield opened


@pytest.fixture
def inputs() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {spec.name: generator.standard_normal(spec.shape).astype(spec.dtype) for spec in INPUTS}


def test_runs(session: Session, inputs: dict[str, np.ndarray]) -> None:
    outputs = session.run(inputs)
    assert list(outputs) == ["image", "latent"]
    for name, expected in expected_outputs(inputs).items():
        np.testing.assert_allclose(outputs[name], expected, atol=TOLERANCE)


def test_order_strides_and_float64_do_not_matter(session: Session, inputs: dict[str, np.ndarray]) -> None:
    first = session.run(inputs)
    other = {name: np.asfortranarray(array).astype(np.float64) for name, array in reversed(inputs.items())}
    other["noise"] = inputs["noise"].astype(">f4")
    for name, array in session.run(other).items():
        np.testing.assert_array_equal(array, first[name])


def test_text_encoder(session: Session) -> None:
    tokens = np.array([[1, 2, 3, 0], [5, 0, 0, 0]], np.int32)
    outputs = session.run_text_encoder(tokens)
    for name, expected in expected_text(tokens).items():
        np.testing.assert_allclose(outputs[name], expected, atol=TOLERANCE)


@pytest.mark.parametrize("token", [-1, len(WORDS), 2**30])
def test_tokens_outside_the_table(session: Session, token: int) -> None:
    tokens = np.zeros((2, 4), np.int32)
    tokens[1, 2] = token
    with pytest.raises(InputError, match="from 0 to 5"):
        session.run_text_encoder(tokens)


def test_names(session: Session, inputs: dict[str, np.ndarray]) -> None:
    inputs["nosie"] = inputs.pop("noise")
    inputs["zzz"] = inputs.pop("vector.text")
    with pytest.raises(InputError) as error:
        session.run(inputs)
    for part in ("noise is missing", "vector.text is missing", "nosie is no input (did you mean noise?)", "zzz"):
        assert part in str(error.value)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((1, 3, 2, 2), np.float32),
        np.zeros((2, 3, 2), np.float32),
        np.zeros((2, 3, 2, 2, 1), np.float32),
        np.zeros((), np.float32),
        np.zeros((2, 3, 2, 2), np.float16),
        np.zeros((2, 3, 2, 2), np.int32),
        np.zeros((2, 3, 2, 2), np.complex64),
        np.zeros((2, 3, 2, 2), object),
        np.full((2, 3, 2, 2), np.nan, np.float32),
        np.full((2, 3, 2, 2), np.inf, np.float32),
        np.full((2, 3, 2, 2), 1e300),
        [[1.0]],
        b"bytes",
    ],
    ids=lambda wrong: f"{getattr(wrong, 'dtype', type(wrong).__name__)}-{getattr(wrong, 'shape', '')}",
)
def test_wrong_arrays(session: Session, inputs: dict[str, np.ndarray], wrong: np.ndarray) -> None:
    with pytest.raises(InputError, match="input noise"):
        session.run({**inputs, "noise": wrong})


def test_closed(bundle_folder: Path, inputs: dict[str, np.ndarray]) -> None:
    with Session(Bundle.open(bundle_folder)) as session:
        pass
    with pytest.raises(BackendError, match="closed"):
        session.run(inputs)


def test_backend_choice(bundle_folder: Path) -> None:
    bundle = Bundle.open(bundle_folder)
    with pytest.raises(BackendError, match="mindspore"):
        Session(bundle, backend="tensorrt")
    with pytest.raises(BackendError, match="0 threads"):
        Session(bundle, num_threads=0)


def test_damaged_graph(bundle_copy: Path, inputs: dict[str, np.ndarray]) -> None:
    (bundle_copy / "sampling.mindir").write_bytes(b"no protobuf" * 10)
    write_manifest(bundle_copy)
    with Session(Bundle.open(bundle_copy)) as session, pytest.raises(BackendError, match="cannot load") as error:
        session.run(inputs)
    assert "\n" not in str(error.value)


def test_manifest_of_another_graph(bundle_copy: Path) -> None:
    (bundle_copy / "sampling.mindir").write_bytes((bundle_copy / "text_encoder.mindir").read_bytes())
    bundle = Bundle(bundle_copy, replace(Bundle.open(bundle_copy, check=False).manifest, inputs=(INPUTS[0],)))
    with Session(bundle) as session, pytest.raises(BackendError):
        session.run({"noise": np.zeros(INPUTS[0].shape, np.float32)})


def test_no_text_encoder(bundle_folder: Path) -> None:
    bundle = Bundle.open(bundle_folder)
    bundle = Bundle(bundle.folder, replace(bundle.manifest, text_encoder=None))
    with Session(bundle) as session, pytest.raises(BundleError, match="no text encoder"):
        session.run_text_encoder(np.zeros((2, 4), np.int32))


def test_a_process_that_has_run_mindspore_before(bundle_folder: Path) -> None:
    import mindspore

    mindspore.set_context(mode=mindspore.PYNATIVE_MODE)
    assert (mindspore.Tensor([1.0]) + 1.0).asnumpy() == 2.0
    with Session(Bundle.open(bundle_folder)) as session:
        session.load()


def test_a_backend_that_the_bundle_has_nothing_for(bundle_folder: Path) -> None:
    bundle = Bundle.open(bundle_folder)
    for path_for in (bundle.graph_for, bundle.text_encoder_for):
        with pytest.raises(BundleError, match="nothing for the backend onnx, only for mindspore"):
            path_for("onnx")


def test_a_form_stands_in_for_the_graphs(bundle_folder: Path) -> None:
    bundle = Bundle.open(bundle_folder)
    form = Form("onnx/sampling.onnx", "onnx/text_encoder.onnx")
    other = replace(bundle, manifest=replace(bundle.manifest, forms={"onnx": form}))
    assert other.graph_for("onnx") == bundle_folder / "onnx/sampling.onnx"
    assert other.text_encoder_for("onnx") == bundle_folder / "onnx/text_encoder.onnx"
    assert other.graph_for("mindspore") == bundle.graph_path
