"""The ascend backend up to the device call: what mindspore_lite is asked, what failures say. Not run on an NPU."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from runtime.ascend_bundle import FakeLite, write_ascend_bundle, write_converted
from runtime.tiny_bundle import INPUTS, expected_outputs, expected_text

from coopdraw.runtime import backends
from coopdraw.runtime.ascend_conversion import converted_models
from coopdraw.runtime.backends import ascend
from coopdraw.runtime.bundle import Bundle
from coopdraw.runtime.errors import BackendError
from coopdraw.runtime.session import Session

TOKENS = np.array([[1, 2, 3, 0], [5, 0, 0, 0]], np.int32)


@pytest.fixture
def lite(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeLite:
    """A host with one NPU and the stand-in for mindspore_lite."""
    fake = FakeLite()
    install(fake, monkeypatch)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "davinci0").touch()
    monkeypatch.setattr(ascend, "_DEVICES", tmp_path / "dev")
    monkeypatch.delitem(sys.modules, "mindspore", raising=False)
    for name in ("COOPDRAW_DEVICE_ID", "COOPDRAW_ASCEND_FOLDER"):
        monkeypatch.delenv(name, raising=False)
    if "ascend" not in backends.BACKENDS:
        monkeypatch.setattr(backends, "BACKENDS", (*backends.BACKENDS, "ascend"))
    return fake


def install(fake: FakeLite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mindspore_lite", fake.module)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return Bundle.open(write_ascend_bundle(tmp_path / "tiny.bundle"))


@pytest.fixture
def inputs() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {spec.name: generator.standard_normal(spec.shape).astype(spec.dtype) for spec in INPUTS}


def test_calls(lite: FakeLite, bundle: Bundle, inputs: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    """The calls of a session, as "Multiple Models Sharing Weights" of
    mindspore-ai/docs:docs/lite/docs/source_en/mindir/runtime_cpp.md has them: the group is there before its models, and
    each has a context of its own."""
    write_converted(bundle.folder)
    monkeypatch.setenv("COOPDRAW_DEVICE_ID", "3")
    with Session(bundle, "ascend", num_threads=4) as session:
        encoded = session.run_text_encoder(TOKENS)
        outputs = [session.run(inputs) for _ in range(2)]
    for name, expected in expected_text(TOKENS).items():
        np.testing.assert_array_equal(encoded[name], expected)
    for result in outputs:
        for name, expected in expected_outputs(inputs).items():
            np.testing.assert_array_equal(result[name], expected)

    def context(number: int) -> list[tuple[object, ...]]:
        return [
            ("set", number, "target", ["ascend"]),
            ("set", number, "ascend.device_id", 3),
            ("set", number, "cpu.thread_num", 4),
        ]

    assert lite.calls == [
        ("group", "SHARE_WEIGHT_WORKSPACE"),
        ("add_model", ["sampling_graph.mindir", "text_encoder_graph.mindir"]),
        *context(0),
        ("cal_max_size_of_workspace", "MINDIR", 0),
        *context(1),
        ("build", "text_encoder_graph.mindir", "MINDIR", 1, "runtime.cfg"),
        ("predict", "text_encoder"),
        *context(2),
        ("build", "sampling_graph.mindir", "MINDIR", 2, "runtime.cfg"),
        ("predict", "sampling"),
        ("predict", "sampling"),
    ]


def test_one_model_needs_no_group(lite: FakeLite, inputs: dict[str, np.ndarray], tmp_path: Path) -> None:
    folder = write_ascend_bundle(tmp_path / "plain.bundle", text_encoder=False)
    (write_converted(folder, ["sampling"]) / "runtime.cfg").unlink()
    with Session(Bundle.open(folder), "ascend") as session:
        session.run(inputs)
    assert lite.calls == [
        ("set", 0, "target", ["ascend"]),
        ("set", 0, "ascend.device_id", 0),
        ("build", "sampling_graph.mindir", "MINDIR", 0, ""),
        ("predict", "sampling"),
    ]


def test_inputs_go_by_name(
    lite: FakeLite, bundle: Bundle, inputs: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`context.uncond` and `context.text` have the same shape: only names can tell them apart."""
    install(FakeLite(order=-1), monkeypatch)
    write_converted(bundle.folder)
    with Session(bundle, "ascend") as session:
        np.testing.assert_array_equal(session.run(inputs)["latent"], expected_outputs(inputs)["latent"])


def test_inputs_go_by_place_if_the_converter_renames(
    lite: FakeLite, bundle: Bundle, inputs: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(FakeLite(input_names=lambda name: name.replace(".", "_")), monkeypatch)
    write_converted(bundle.folder)
    with Session(bundle, "ascend") as session:
        np.testing.assert_array_equal(session.run(inputs)["latent"], expected_outputs(inputs)["latent"])


def test_renamed_inputs_of_another_order_are_refused(
    lite: FakeLite, bundle: Bundle, inputs: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(FakeLite(input_names=lambda name: f"{name}:0", order=-1), monkeypatch)
    write_converted(bundle.folder)
    with (
        Session(bundle, "ascend") as session,
        pytest.raises(BackendError, match=r"other shapes .* deploy/convert\.sh again"),
    ):
        session.run(inputs)


def test_outputs_are_not_the_models_memory(lite: FakeLite, bundle: Bundle) -> None:
    """The next run writes there."""
    write_converted(bundle.folder)
    graph = ascend.open_backend(None)(bundle.folder / "ascend" / "text_encoder.mindir")
    (context, _), kept = graph([TOKENS]), expected_text(TOKENS)["context"]
    context += 1
    np.testing.assert_array_equal(graph([TOKENS])[0], kept)


@pytest.mark.parametrize(
    ("call", "what"),
    [
        ("set", "cannot load"),
        ("add_model", "cannot load"),
        ("cal_max_size_of_workspace", "cannot load"),
        ("build", "cannot load"),
        ("predict", "failed in"),
    ],
)
def test_failures_of_the_package(
    lite: FakeLite, bundle: Bundle, inputs: dict[str, np.ndarray], call: str, what: str
) -> None:
    lite.fail[call] = RuntimeError("build_from_file failed! Error is Common error code.\nat line 7")
    write_converted(bundle.folder)
    with Session(bundle, "ascend") as session, pytest.raises(BackendError) as error:
        session.run(inputs)
    assert f"MindSpore Lite {what}" in str(error.value)
    assert "Error is Common error code; run the bundle's deploy/check.sh" in str(error.value)


@pytest.mark.parametrize("device", ["", "-1", "npu0", "0x1", "²"])
def test_no_device_number(lite: FakeLite, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COOPDRAW_DEVICE_ID", device)
    with pytest.raises(BackendError, match="is no number of an NPU"):
        ascend.open_backend(None)


def test_no_device(lite: FakeLite, tmp_path: Path) -> None:
    (tmp_path / "dev" / "davinci0").rename(tmp_path / "dev" / "davinci_manager")
    with pytest.raises(BackendError, match="there is no Ascend NPU"):
        ascend.open_backend(None)


def test_no_package(lite: FakeLite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mindspore_lite", None)
    with pytest.raises(BackendError, match="mindspore_lite cannot be imported"):
        ascend.open_backend(None)


def test_not_beside_mindspore(lite: FakeLite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mindspore", lite.module)
    with pytest.raises(BackendError, match="MindSpore is loaded in this process"):
        ascend.open_backend(None)


def test_graph_that_is_none(lite: FakeLite, bundle: Bundle) -> None:
    write_converted(bundle.folder)
    with pytest.raises(BackendError, match="compile the bundle for an Atlas target"):
        ascend.open_backend(None)(bundle.folder / "ascend" / "decoder.mindir")


def test_not_converted(bundle: Bundle) -> None:
    with pytest.raises(
        BackendError, match=r"tiny\.bundle\.ascend has no converted sampling; run .* deploy/convert\.sh"
    ):
        converted_models(bundle.folder)


def test_one_model_of_two_is_not_converted(bundle: Bundle) -> None:
    write_converted(bundle.folder, ["sampling"])
    with pytest.raises(BackendError, match="has no converted text_encoder"):
        converted_models(bundle.folder)


def test_converted_from_another_bundle(bundle: Bundle) -> None:
    write_converted(bundle.folder)
    with (bundle.folder / "manifest.json").open("a") as file:
        file.write("\n")
    with pytest.raises(BackendError, match="was converted from another bundle"):
        converted_models(bundle.folder)


def test_converted_model_is_gone(bundle: Bundle) -> None:
    (write_converted(bundle.folder) / "sampling_graph.mindir").unlink()
    with pytest.raises(BackendError, match=r"sampling_graph\.mindir is missing"):
        converted_models(bundle.folder)


@pytest.mark.parametrize("model", ["../sampling_graph.mindir", "/etc/hosts", "..", ""])
def test_stamp_cannot_lead_elsewhere(bundle: Bundle, model: str) -> None:
    stamp = write_converted(bundle.folder) / "sampling.stamp"
    (stamp.parent.parent / "sampling_graph.mindir").touch()
    stamp.write_text(stamp.read_text().replace("sampling_graph.mindir", model))
    with pytest.raises(BackendError, match="is missing"):
        converted_models(bundle.folder)


@pytest.mark.parametrize("text", ["", "bundle=1\n", "no stamp at all", "a=b\n" * 100])
def test_stamp_that_is_none(bundle: Bundle, text: str) -> None:
    (write_converted(bundle.folder) / "sampling.stamp").write_text(text)
    with pytest.raises(BackendError, match=r"is no stamp of deploy/convert\.sh"):
        converted_models(bundle.folder)


def test_stamp_that_is_no_text(bundle: Bundle) -> None:
    (write_converted(bundle.folder) / "sampling.stamp").write_bytes(b"bundle=\xff\n")
    with pytest.raises(BackendError, match="cannot be read"):
        converted_models(bundle.folder)


def test_bundle_by_a_link_or_a_relative_path(bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The folder of converted models is beside the bundle itself, as for the scripts."""
    work = write_converted(bundle.folder)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "current").symlink_to(bundle.folder)
    monkeypatch.chdir(bundle.folder)
    for folder in (tmp_path / "elsewhere" / "current", Path("."), Path("../tiny.bundle")):
        assert converted_models(folder)["sampling"].path == work / "sampling_graph.mindir"


def test_another_folder(bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_converted(bundle.folder).rename(tmp_path / "made")
    monkeypatch.setenv("COOPDRAW_ASCEND_FOLDER", str(tmp_path / "made"))
    assert converted_models(bundle.folder)["sampling"].path == tmp_path / "made" / "sampling_graph.mindir"
