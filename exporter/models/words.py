"""The text encoder that looks words up in a table."""

from __future__ import annotations

from mindspore import Tensor, nn
from mindspore import dtype as mstype

from coopdraw.exporter.models.configuration import WordsConfig
from coopdraw.exporter.models.embedding import embed_constants
from coopdraw.exporter.models.layers import parameter
from coopdraw.exporter.models.primitives import (
    add,
    cast,
    concat,
    div,
    gather,
    greater,
    maximum,
    mul,
    reduce_sum,
    reshape,
    tile,
)


class WordEncoder(nn.Cell):
    """Tokens int32 (N, L) -> context (N, L, width), vector (N, config.vector_dim).

    Context is token plus position embedding. Vector is the mean token embedding of the words that aren't the pad (token
    0), zeros for an empty caption, followed by the embedded `config.time_ids`.
    """

    def __init__(self, config: WordsConfig) -> None:
        super().__init__()
        self.token_embedding = parameter("token_embedding", len(config.words), config.width)
        self.position_embedding = parameter("position_embedding", config.context_length, config.width)
        self.has_time_ids = bool(config.time_ids)
        if config.time_ids:
            self.time_embedding = Tensor(embed_constants(config.time_ids, config.time_embed_dim))

    def construct(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        batch, length = tokens.shape
        embedded = gather(self.token_embedding, tokens, 0)
        is_word = reshape(cast(greater(tokens, 0), mstype.float32), (batch, length, 1))
        vector = div(reduce_sum(mul(embedded, is_word), (1,)), maximum(reduce_sum(is_word, (1,)), 1.0))
        if self.has_time_ids:
            vector = concat((vector, tile(self.time_embedding, (batch, 1))))
        return add(embedded, self.position_embedding), vector
