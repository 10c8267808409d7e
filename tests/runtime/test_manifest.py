"""The manifest reader takes what the writer writes and refuses everything that can't be."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from runtime.tiny_bundle import tiny_manifest

from coopdraw.runtime.errors import BundleError
from coopdraw.runtime.manifest import Form, Manifest
from coopdraw.runtime.manifest_reader import is_safe_path, parse_manifest

FILES = ("sampling.mindir", "text_encoder.mindir", "deploy/run.sh", "onnx/sampling.onnx", "onnx/text_encoder.onnx")
MANIFEST = replace(
    tiny_manifest(dict.fromkeys(FILES, "a" * 64)),
    forms={"onnx": Form("onnx/sampling.onnx", "onnx/text_encoder.onnx")},
)
TEXT = MANIFEST.to_json()


def paths_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The place of every member, at any depth."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in items for found in [(*path, key), *paths_of(item, (*path, key))]]


PATHS = paths_of(json.loads(TEXT))

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["", "..", "/etc/passwd", "a/../../b", "float32", "\x1b[31m"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


def changed(path: tuple[Any, ...], change: Callable[[Any, Any], None]) -> str:
    data = json.loads(TEXT)
    parent = data
    for key in path[:-1]:
        parent = parent[key]
    change(parent, path[-1])
    return json.dumps(data)


def parse_or_refuse(text: str) -> Manifest | None:
    """Whatever the text: a manifest that survives writing and reading, or BundleError, and nothing else."""
    try:
        manifest = parse_manifest(text)
    except BundleError:
        return None
    assert parse_manifest(manifest.to_json()) == manifest
    return manifest


def test_round_trip_is_canonical() -> None:
    manifest = parse_manifest(TEXT)
    assert manifest == MANIFEST
    assert manifest.to_json() == TEXT
    assert TEXT.endswith("}\n")
    assert list(json.loads(TEXT)) == sorted(json.loads(TEXT))


@given(st.sampled_from(PATHS), JSON_VALUES)
@example(("files",), {"../x": "a" * 64})
@example(("inputs", 0, "shape", 1), 2**62)
@example(("steps", 0, "sigma"), math.inf)
@example(("steps", 0, "sigma"), True)
@settings(max_examples=400, deadline=None)
def test_any_replaced_member(path: tuple[Any, ...], value: Any) -> None:
    def put(parent: Any, key: Any) -> None:
        parent[key] = copy.deepcopy(value)

    parse_or_refuse(changed(path, put))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: ".".join(map(str, path)))
def test_any_removed_member(path: tuple[Any, ...]) -> None:
    def remove(parent: Any, key: Any) -> None:
        del parent[key]

    manifest = parse_or_refuse(changed(path, remove))
    if len(path) == 1:
        assert manifest is None, "every top-level member is needed"


@given(st.integers(0, len(TEXT) - 1), st.integers(0, 255))
@settings(deadline=None)
def test_any_changed_byte(position: int, byte: int) -> None:
    raw = bytearray(TEXT.encode())
    raw[position] = byte
    parse_or_refuse(raw.decode("utf-8", errors="replace"))


@given(st.integers(0, len(TEXT) - 2))
@settings(deadline=None)
def test_any_truncation(length: int) -> None:
    with pytest.raises(BundleError):
        parse_manifest(TEXT[:length])


def refused(path: str, value: Any) -> str:
    """The message for one member with another value."""
    keys = tuple(int(key) if key.isdigit() else key for key in path.split("/"))

    def put(parent: Any, key: Any) -> None:
        parent[key] = value

    with pytest.raises(BundleError) as error:
        parse_manifest(changed(keys, put))
    assert "\x1b" not in str(error.value), "a message must not carry escape sequences to the terminal"
    return str(error.value)


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("format", 2, "format 2"),
        ("format", True, "format True"),
        ("extra", 1, "extra"),
        ("steps/0/extra", 1, "steps[0].extra"),
        ("forms/onnx/extra", 1, "forms.onnx.extra"),
        ("forms/onnx/graph", "elsewhere.onnx", "elsewhere.onnx of forms.onnx is not in files"),
        ("forms/onnx/text_encoder", "../x.onnx", "../x.onnx of forms.onnx is not in files"),
        ("forms/onnx/text_encoder", None, "forms.onnx and the bundle differ in text_encoder"),
        ("steps/1/step", 5, "steps[1]"),
        ("steps/1/model", "nobody", "nobody"),
        ("steps/0/t", 1.5, "steps[0].t"),
        ("steps/0/branches", [], "steps[0].branches"),
        ("steps/0/branches", ["uncond"], "steps[0].branches"),
        ("steps/0/branches", ["text", "text"], "steps[0].branches"),
        ("steps/0/sigma", -1.0, "steps[0].sigma"),
        ("steps", [], "no steps"),
        ("inputs/0/shape", [2, -1], "inputs[0].shape"),
        ("inputs/0/shape", [2, 2**40], "inputs[0].shape"),
        ("inputs/0/shape", [1] * 9, "inputs[0].shape"),
        ("inputs/0/shape", [3, 3, 2, 2], "batches"),
        ("inputs/0/shape", [], "batches"),
        ("inputs/0/dtype", "object", "inputs[0].dtype"),
        ("inputs/1/name", "noise", "two inputs"),
        ("outputs", [], "no outputs"),
        ("graph", "sampling.onnx", "graph"),
        ("graph", "other.mindir", "other.mindir"),
        ("text_encoder/graph", "other.mindir", "other.mindir"),
        ("text_encoder/context_length", 5, "text_encoder.tokens.shape"),
        ("text_encoder/tokens/dtype", "float32", "text_encoder.tokens.dtype"),
        ("text_encoder/words", ["<pad>", "red", "red"], "text_encoder.words"),
        ("text_encoder/feeds/0/inputs/context", "nothing", "nothing"),
        ("text_encoder/feeds/0/inputs/context", "context.text", "context.text"),
        ("text_encoder/feeds/0/inputs/context", "noise", "different types"),
        ("weights/table/sha256", "A" * 64, "weights.table.sha256"),
        ("functions/1/name", "structure.unet", "two functions"),
        ("tools/coopdraw", 1, "tools"),
        ("passes", [1], "passes"),
        ("name", "\x1b[2J", "control characters"),
        ("files/sampling.mindir", "x", "sampling.mindir"),
    ],
)
def test_refusals_name_the_member(path: str, value: Any, named: str) -> None:
    assert named in refused(path, value)


@pytest.mark.parametrize(
    "path",
    ["/abs", "..", "../x", "a/../b", "a//b", "./a", "a/", "", ".", "a\\b", "C:x", "a\nb", "a\0b", "manifest.json"],
)
def test_paths_stay_in_the_folder(path: str) -> None:
    def put(parent: Any, key: Any) -> None:
        parent[key] = {**parent[key], path: "a" * 64}

    with pytest.raises(BundleError):
        parse_manifest(changed(("files",), put))


def test_safe_paths() -> None:
    assert is_safe_path("sampling_variables/data_0")
    assert is_safe_path("..data")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (TEXT.replace('"name": "tiny"', '"name": "tiny", "name": "other"'), "twice"),
        (TEXT.replace("14.6", "1e999"), "finite"),
        (TEXT.replace("14.6", "NaN"), "finite"),
        (TEXT.replace("14.6", "9" * 5000), "JSON"),
        ("[" * 200 + "]" * 200, "deep"),
        ("[" * 100_000, "JSON"),
        ("[]", "object"),
        ("", "JSON"),
    ],
    ids=["duplicate key", "overflow", "nan", "huge integer", "deep", "very deep", "list", "empty"],
)
def test_hostile_json(text: str, named: str) -> None:
    with pytest.raises(BundleError, match=named):
        parse_manifest(text)


def test_no_text_encoder() -> None:
    manifest = replace(MANIFEST, text_encoder=None, forms={})
    assert parse_manifest(manifest.to_json()) == manifest


def test_writer_refuses_what_json_lacks() -> None:
    with pytest.raises(BundleError, match="tiny"):
        replace(MANIFEST, verification={"image_psnr": math.nan}).to_json()
