"""Captions to token ids for `words` text encoders: one token for each word of a fixed list."""

from __future__ import annotations

import numpy as np

from coopdraw.runtime.errors import InputError
from coopdraw.runtime.manifest import TextEncoder
from coopdraw.runtime.tensors import nearest

PADDING = 0


def tokenize(encoder: TextEncoder, captions: list[str]) -> np.ndarray:
    """Token ids (len(captions), context_length) of the encoder's dtype, padded at the end; "" is all padding.

    Words are separated by white space and must be in the encoder's list as they are. Raises InputError that names an
    unknown word and those most like it, or says how many words are too many.
    """
    ids = {word: index for index, word in enumerate(encoder.words) if index != PADDING}
    tokens = np.full((len(captions), encoder.context_length), PADDING, dtype=encoder.tokens.dtype)
    for row, caption in zip(tokens, captions, strict=True):
        words = caption.split()
        if len(words) > encoder.context_length:
            raise InputError(
                f"caption {caption!r} has {len(words)} words, but the text encoder takes {encoder.context_length}; "
                "shorten it"
            )
        for position, word in enumerate(words):
            if word not in ids:
                raise InputError(
                    f"the text encoder doesn't know the word {word!r}{nearest(word, ids)}; its words are {_some(ids)}"
                )
            row[position] = ids[word]
    return tokens


def _some(words: dict[str, int]) -> str:
    shown = list(words)[:20]
    return " ".join(shown) + (" ..." if len(words) > len(shown) else "")
