from __future__ import annotations

from dataclasses import replace

import numpy as np
from exporter.models.shapes import WEIGHTS, golden

from coopdraw.exporter.checkpoints.load import match, open_checkpoint
from coopdraw.exporter.models.build import build_cell, load_eagerly, parameter_types
from coopdraw.exporter.models.configuration import WordsConfig


def test_context_and_vector_are_those_of_the_pytorch_model() -> None:
    from mindspore import Tensor

    arrays = golden("time_decoupled")
    checkpoint = open_checkpoint(WEIGHTS / "text_encoder", "words")
    assert isinstance(checkpoint.config, WordsConfig)
    config = replace(checkpoint.config, time_ids=(64, 64, 0, 0, 64, 64), time_embed_dim=16)
    cell = build_cell("words", config)
    load_eagerly(cell, match(checkpoint.weights, parameter_types(cell), "words"))
    tokens = np.zeros((2, config.context_length), np.int32)
    caption = [config.words.index(word) for word in str(arrays["prompt"]).split()]
    tokens[1, : len(caption)] = caption
    context, vector = (output.asnumpy() for output in cell(Tensor(tokens)))
    assert vector.shape == (2, config.vector_dim)
    for row, branch in enumerate(("uncond", "text")):
        np.testing.assert_array_equal(context[row], arrays[f"in:context.{branch}"][0])
        # PyTorch computes the sines in float32, so they differ by a few units in the last place.
        np.testing.assert_allclose(vector[row], arrays[f"in:vector.{branch}"][0], rtol=0, atol=1e-6)
