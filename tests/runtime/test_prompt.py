"""Captions become tokens, noise and pictures; a picture depends on its caption and seed alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from runtime.tiny_bundle import ENCODER, WORDS, expected_outputs, expected_text

from coopdraw.runtime.bundle import Bundle
from coopdraw.runtime.errors import BundleError, InputError
from coopdraw.runtime.manifest import Feed, TensorSpec
from coopdraw.runtime.noise import draw_noise, is_noise
from coopdraw.runtime.prompt import draw_pictures, prompt_inputs
from coopdraw.runtime.session import Session
from coopdraw.runtime.tokenizer import tokenize


@pytest.fixture(scope="module")
def session(bundle_folder: Path) -> Iterator[Session]:
    with Session(Bundle.open(bundle_folder)) as opened:
        yield opened


def with_manifest(session: Session, **changes: object) -> Session:
    bundle = session.bundle
    return Session(Bundle(bundle.folder, replace(bundle.manifest, **changes)))  # type: ignore[arg-type]


def noise_spec(name: str = "noise", *shape: int) -> TensorSpec:
    return TensorSpec(name, shape or (1, 4, 16, 16), "float32", "noise")


def test_tokens() -> None:
    tokens = tokenize(ENCODER, ["red ring", "", "  blue\tcross red red "])
    assert tokens.dtype == np.int32
    assert tokens.tolist() == [[1, 4, 0, 0], [0, 0, 0, 0], [3, 5, 1, 1]]


@pytest.mark.parametrize(
    ("caption", "parts"),
    [
        ("red rign", ["'rign'", "did you mean ring"]),
        ("Red", ["'Red'", "red"]),
        ("<pad>", ["'<pad>'"]),
        ("xyz", ["'xyz'", "its words are red green blue ring cross"]),
        ("red red red red red", ["5 words", "takes 4"]),
    ],
)
def test_captions_that_cannot_be(caption: str, parts: list[str]) -> None:
    with pytest.raises(InputError) as error:
        tokenize(ENCODER, [caption])
    for part in parts:
        assert part in str(error.value)


def test_noise_rule_is_fixed() -> None:
    # Drawn once from the documented rule: other values would silently change everybody's pictures.
    stream = np.random.SeedSequence(7, spawn_key=tuple(b"partner.noise"))
    expected = np.random.Generator(np.random.PCG64(stream)).standard_normal((4, 16, 16), dtype=np.float32)
    np.testing.assert_array_equal(draw_noise(noise_spec("partner.noise"), 7)[0], expected)


def test_noise_streams() -> None:
    batch = draw_noise(noise_spec("noise", 3, 4, 16, 16), 7)
    for row in range(3):
        np.testing.assert_array_equal(batch[row], draw_noise(noise_spec(), 7 + row)[0])
    flat = [draw_noise(noise_spec(name), seed).ravel() for name in ("noise", "a.noise", "b.noise") for seed in (0, 1)]
    # 1024 normal numbers: independent streams correlate by about 1/32; 5 times that is out of reach.
    correlation = np.corrcoef(np.stack(flat)) - np.eye(len(flat))
    assert np.abs(correlation).max() < 5 / 32
    assert abs(np.concatenate(flat).std() - 1) < 0.05  # 6144 numbers: the standard error is 0.009


def test_noise_of_large_and_bad_seeds() -> None:
    assert not np.array_equal(draw_noise(noise_spec(), 2**64), draw_noise(noise_spec(), 2**96))
    with pytest.raises(InputError, match="-1"):
        draw_noise(noise_spec(), -1)
    assert is_noise("noise")
    assert is_noise("bridge.noise")
    assert not is_noise("denoise")


def test_inputs(session: Session) -> None:
    inputs = prompt_inputs(session, {"text": ["red ring", "blue"]}, seed=3)
    text, empty = expected_text(tokenize(ENCODER, ["red ring", "blue"])), expected_text(np.zeros((2, 4), np.int32))
    # One gather and a mean of four float32 numbers.
    np.testing.assert_allclose(inputs["context.text"], text["context"], atol=1e-6)
    np.testing.assert_allclose(inputs["vector.text"], text["vector"], atol=1e-6)
    np.testing.assert_allclose(inputs["vector.uncond"], empty["vector"], atol=1e-6)
    np.testing.assert_array_equal(inputs["noise"], draw_noise(noise_spec("noise", 2, 3, 2, 2), 3))


def test_pictures_do_not_depend_on_their_batch(session: Session) -> None:
    prompts = ["red ring", "blue", "green cross"]
    done: list[tuple[int, int]] = []
    pictures = draw_pictures(session, prompts, 10, on_step=lambda *step: done.append(step))
    assert pictures.shape == (3, 3, 4, 4)
    assert done == [(2, 3), (3, 3)]
    for index, prompt in enumerate(prompts):
        alone = draw_pictures(session, [prompt], 10 + index)
        assert alone.shape[0] == 2  # one prompt fills the batch
        np.testing.assert_array_equal(alone[0], pictures[index])
    expected = expected_outputs(prompt_inputs(session, {"text": prompts[:2]}, 10))["image"]
    np.testing.assert_allclose(pictures[:2], expected, atol=1e-5)  # float32 sums in another order


def test_other_branches(session: Session) -> None:
    plain, negative = (draw_pictures(session, ["red"], 0, branches) for branches in ({}, {"uncond": "blue ring"}))
    assert not np.array_equal(plain, negative)
    with pytest.raises(InputError, match="no guidance branch style"):
        draw_pictures(session, ["red"], 0, {"style": "blue"})


def test_a_branch_without_caption(session: Session) -> None:
    feeds = (Feed("style", dict(ENCODER.feeds[0].inputs)), ENCODER.feeds[1])
    styled = with_manifest(session, text_encoder=replace(ENCODER, feeds=feeds))
    with pytest.raises(InputError, match="--branch style="):
        draw_pictures(styled, ["red"], 0)
    draw_pictures(styled, ["red"], 0, {"style": "blue"})


def test_wrong_number_of_captions(session: Session) -> None:
    with pytest.raises(InputError, match="give 2"):
        prompt_inputs(session, {"text": ["red"]}, 0)
    with pytest.raises(InputError, match="at least one"):
        draw_pictures(session, [], 0)


def test_bundles_that_captions_cannot_feed(session: Session) -> None:
    with pytest.raises(BundleError, match="--inputs"):
        prompt_inputs(with_manifest(session, text_encoder=None), {"text": ["red", "red"]}, 0)
    picture = TensorSpec("edges.image", (2, 3, 4, 4), "float32", "edges")
    inputs = (*session.bundle.manifest.inputs, picture)
    with pytest.raises(BundleError, match=r"edges\.image"):
        draw_pictures(with_manifest(session, inputs=inputs), ["red"], 0)


def test_every_word_is_a_token() -> None:
    assert [tokenize(ENCODER, [word])[0, 0] for word in WORDS[1:]] == list(range(1, len(WORDS)))
