"""Reads `manifest.json` strictly: what is missing, unknown, inconsistent or impossible is a BundleError."""

from __future__ import annotations

import math
import re
from pathlib import PurePosixPath

from coopdraw.runtime.errors import BundleError
from coopdraw.runtime.manifest import (
    FORMAT,
    MANIFEST_NAME,
    TEXT,
    Feed,
    Form,
    Function,
    Manifest,
    Model,
    Step,
    TensorSpec,
    TextEncoder,
    WeightInfo,
)
from coopdraw.runtime.strict_json import Fields, JsonValue, parse_json

TENSOR_TYPES = ("float16", "float32", "float64", "int8", "uint8", "int32", "int64", "bool")
"""Element types of inputs and outputs: those NumPy has without help. Weights may also be bfloat16."""

# No graph needs larger tensors; a corrupt extent must not become an allocation.
MOST_ELEMENTS = 2**31
MOST_DIMENSIONS = 8

_SHA256 = re.compile(r"[0-9a-f]{64}")
_UNSAFE_PATH = re.compile(r"[\\:\x00-\x1f]")


def parse_manifest(text: str) -> Manifest:
    """Reads the text of a manifest; raises BundleError that names the member which can't be."""
    fields = Fields(parse_json(text, MANIFEST_NAME), MANIFEST_NAME)
    version = fields.value("format")
    if type(version) is not int or version != FORMAT:
        raise BundleError(
            f"{MANIFEST_NAME} has format {version!r}, but this version reads {FORMAT}; compile the bundle again"
        )
    manifest = Manifest(
        name=fields.text("name"),
        inputs=fields.each("inputs", _tensor_spec),
        outputs=fields.each("outputs", _tensor_spec),
        graph=_graph_path(fields),
        text_encoder=None if fields.value("text_encoder") is None else _text_encoder(fields.fields("text_encoder")),
        forms=fields.each_named("forms", _form),
        steps=fields.each("steps", _step),
        models=fields.each_named("models", _model),
        functions=fields.each("functions", _function),
        weights=fields.each_named("weights", _weight),
        passes=_objects(fields, "passes"),
        verification=fields.object("verification"),
        device=fields.object("device"),
        tools=fields.texts("tools"),
        recipe=fields.object("recipe"),
        files=_files(fields),
    )
    fields.finish()
    _check_references(manifest)
    return manifest


def _tensor_spec(fields: Fields) -> TensorSpec:
    dtype = fields.text("dtype")
    if dtype not in TENSOR_TYPES:
        raise fields.refuse("dtype", f"one of {', '.join(TENSOR_TYPES)}")
    return TensorSpec(fields.text("name"), _shape(fields), dtype, fields.text("meaning"))


def _shape(fields: Fields) -> tuple[int, ...]:
    found = fields.array("shape")
    shape = tuple(extent for extent in found if type(extent) is int and extent > 0)
    if len(shape) != len(found) or len(shape) > MOST_DIMENSIONS or math.prod(shape) > MOST_ELEMENTS:
        raise fields.refuse(
            "shape", f"a list of at most {MOST_DIMENSIONS} positive integers for at most {MOST_ELEMENTS} elements"
        )
    return shape


def _graph_path(fields: Fields) -> str:
    path = fields.text("graph")
    if not path.endswith(".mindir"):
        raise fields.refuse("graph", "the path of a .mindir file")
    return path


def _text_encoder(fields: Fields) -> TextEncoder:
    tokens = fields.fields("tokens")
    words = tuple(word for word in fields.array("words") if isinstance(word, str) and word)
    if len(words) != len(fields.array("words")) or len(words) < 2 or len(set(words)) != len(words):
        raise fields.refuse("words", "a list of different strings: the padding and at least one word")
    encoder = TextEncoder(
        graph=_graph_path(fields),
        tokens=_tensor_spec(tokens),
        outputs=fields.each("outputs", _tensor_spec),
        words=words,
        context_length=fields.integer("context_length", 1),
        feeds=fields.each("feeds", lambda feed: Feed(feed.text("branch"), feed.texts("inputs"))),
    )
    tokens.finish()
    fields.finish()
    if encoder.tokens.dtype not in ("int32", "int64"):
        raise tokens.refuse("dtype", "int32 or int64")
    if encoder.tokens.shape[1:] != (encoder.context_length,):
        raise tokens.refuse("shape", f"[batch, {encoder.context_length}], as context_length says")
    return encoder


def _form(fields: Fields) -> Form:
    return Form(fields.text("graph"), None if fields.value("text_encoder") is None else fields.text("text_encoder"))


def _step(fields: Fields) -> Step:
    return Step(
        step=fields.integer("step", 0),
        t=fields.integer("t", 0),
        sigma=fields.number("sigma", 0.0),
        sigma_next=fields.number("sigma_next", 0.0),
        model=fields.text("model"),
        partners=_names(fields, "partners"),
        transfers=_names(fields, "transfers"),
        adapters=_names(fields, "adapters"),
        branches=_branches(fields),
    )


def _branches(fields: Fields) -> tuple[str, ...]:
    found = _names(fields, "branches")
    if TEXT not in found or len(set(found)) != len(found):
        raise fields.refuse("branches", f"a list of different names with {TEXT}")
    return found


def _names(fields: Fields, key: str) -> tuple[str, ...]:
    found = tuple(item for item in fields.array(key) if isinstance(item, str) and item)
    if len(found) != len(fields.array(key)):
        raise fields.refuse(key, "a list of names")
    return found


def _model(fields: Fields) -> Model:
    return Model(fields.text("kind"), fields.object("config"), _objects(fields, "loras"))


def _function(fields: Fields) -> Function:
    return Function(fields.text("name"), fields.integer("nodes", 0), _sha256(fields))


def _weight(fields: Fields) -> WeightInfo:
    dtype = fields.text("dtype")
    if dtype not in (*TENSOR_TYPES, "bfloat16"):
        raise fields.refuse("dtype", f"one of {', '.join(TENSOR_TYPES)}, bfloat16")
    return WeightInfo(dtype, _shape(fields), _sha256(fields))


def _sha256(fields: Fields) -> str:
    found = fields.text("sha256")
    if not _SHA256.fullmatch(found):
        raise fields.refuse("sha256", "64 hexadecimal digits")
    return found


def _objects(fields: Fields, key: str) -> tuple[dict[str, JsonValue], ...]:
    found = tuple(item for item in fields.array(key) if isinstance(item, dict))
    if len(found) != len(fields.array(key)):
        raise fields.refuse(key, "a list of objects")
    return found


def _files(fields: Fields) -> dict[str, str]:
    files = fields.texts("files")
    for path, sha256 in files.items():
        if not _SHA256.fullmatch(sha256):
            raise BundleError(f"{MANIFEST_NAME}: the sha256 of {path} is not one; compile the bundle again")
        if not is_safe_path(path) or path == MANIFEST_NAME:
            raise BundleError(
                f"{MANIFEST_NAME} lists the file {path!r}, which is not a path inside the bundle; compile it again"
            )
    return files


def is_safe_path(path: str) -> bool:
    """Whether `path` is a normalised relative POSIX path that stays in its folder, on any system."""
    parts = PurePosixPath(path).parts
    return bool(parts) and ".." not in parts and "/".join(parts) == path and not _UNSAFE_PATH.search(path)


def _check_references(manifest: Manifest) -> None:
    """Members that name each other do so consistently."""

    def require(condition: bool, problem: str) -> None:
        if not condition:
            raise BundleError(f"{MANIFEST_NAME}: {problem}; compile the bundle again")

    def unique(specs: tuple[TensorSpec, ...], what: str) -> None:
        require(len({spec.name for spec in specs}) == len(specs), f"two {what} have the same name")

    encoder = manifest.text_encoder
    tensors = (*manifest.inputs, *manifest.outputs)
    unique(manifest.inputs, "inputs")
    unique(manifest.outputs, "outputs")
    require(bool(manifest.outputs), "there are no outputs")
    if encoder is not None:
        unique(encoder.outputs, "outputs of the text encoder")
        tensors = (*tensors, encoder.tokens, *encoder.outputs)
        require(encoder.graph in manifest.files, f"{encoder.graph} is not in files")
        _check_feeds(manifest.inputs, encoder)
    first = manifest.outputs[0].shape[:1]
    require(len(first) == 1 and all(spec.shape[:1] == first for spec in tensors), "batches have different sizes")
    require(manifest.graph in manifest.files, f"{manifest.graph} is not in files")
    for name, form in manifest.forms.items():
        require((form.text_encoder is None) == (encoder is None), f"forms.{name} and the bundle differ in text_encoder")
        for path in (form.graph, form.text_encoder):
            require(path is None or path in manifest.files, f"{path} of forms.{name} is not in files")
    require(bool(manifest.steps), "there are no steps")
    for index, step in enumerate(manifest.steps):
        require(step.step == index, f"steps[{index}] has the number {step.step}")
        for name in (step.model, *step.partners, *step.adapters):
            require(name in manifest.models, f"steps[{index}] runs {name}, which is not in models")
    functions = [function.name for function in manifest.functions]
    require(len(set(functions)) == len(functions), "two functions have the same name")


def _check_feeds(inputs: tuple[TensorSpec, ...], encoder: TextEncoder) -> None:
    outputs = {spec.name: spec for spec in encoder.outputs}
    targets = {spec.name: spec for spec in inputs}
    fed: set[str] = set()
    for feed in encoder.feeds:
        for source, target in feed.inputs.items():
            given, wanted = outputs.get(source), targets.get(target)
            if given is None or wanted is None or target in fed:
                raise BundleError(
                    f"{MANIFEST_NAME}: text_encoder.feeds connects {source} to {target}, which are not an output of "
                    "the text encoder and a free input of the graph; compile the bundle again"
                )
            if (given.shape, given.dtype) != (wanted.shape, wanted.dtype):
                raise BundleError(
                    f"{MANIFEST_NAME}: the text encoder's {source} and the input {target} have different types; "
                    "compile the bundle again"
                )
            fed.add(target)
