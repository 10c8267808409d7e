"""Small Cells and functions for them, written as networks write them. MindSpore parses this file's source."""

from __future__ import annotations

from typing import Any

import mindspore
from mindspore import Tensor, mint, nn, ops


class Apply(nn.Cell):
    """`function(*inputs, *rest, **keywords)`."""

    def __init__(self, function: Any, *rest: Any, **keywords: Any) -> None:
        super().__init__()
        self.function = function
        self.rest = rest
        self.keywords = keywords

    def construct(self, *inputs: Tensor) -> Any:
        return self.function(*inputs, *self.rest, **self.keywords)


class ApplyToTuple(nn.Cell):
    """`function(inputs, *rest)`."""

    def __init__(self, function: Any, *rest: Any) -> None:
        super().__init__()
        self.function = function
        self.rest = rest

    def construct(self, *inputs: Tensor) -> Any:
        return self.function(inputs, *self.rest)


def add(x: Tensor, y: Tensor) -> Tensor:
    return x + y


def subtract_from_two(x: Tensor) -> Tensor:
    return 2 - x


def times_three(x: Tensor) -> Tensor:
    return x * 3


def times_half(x: Tensor) -> Tensor:
    return 0.5 * x


def half_of(x: Tensor) -> Tensor:
    return x / 2


def squared(x: Tensor) -> Tensor:
    return x**2


def two_to_the(x: Tensor) -> Tensor:
    return mint.pow(2.0, x)


def at_most_a_quarter(x: Tensor) -> Tensor:
    return ops.clip_by_value(x, None, 0.25)


def six_more(x: Tensor) -> Tensor:
    return mint.add(x, 2.0, alpha=3)


def two_less(x: Tensor) -> Tensor:
    return mint.sub(x, 2.0)


def above_half(x: Tensor) -> Tensor:
    return x > 0.5


def as_half(x: Tensor) -> Tensor:
    return x.to(mindspore.float16)


def positive_or_zero(x: Tensor) -> Tensor:
    return mint.where(x > 0, x, 0.0)


def filled_where_positive(x: Tensor) -> Tensor:
    return x.masked_fill(x > 0, -7.0)


def plus_a_filled(x: Tensor) -> Tensor:
    return x + mint.full((3, 4), 2.5)


def ones_known_while_tracing(x: Tensor) -> Tensor:
    return ops.OnesLike()(x)


def product_and_sum(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    return x * y, x + y


def product_and_sum_as_list(x: Tensor, y: Tensor) -> list[Tensor]:
    return [x * y, x + y]


def second_of_two(x: Tensor) -> Tensor:
    return mint.split(x, (1, 2), dim=1)[1]


def contiguous(x: Tensor) -> Tensor:
    return x.contiguous()


def three_chunks(x: Tensor) -> tuple[Tensor, ...]:
    return x.chunk(3, dim=-1)


def index_select(x: Tensor, indices: Tensor) -> Tensor:
    return mint.index_select(x, 1, indices)


def embedding_with_norm(indices: Tensor, table: Tensor) -> Tensor:
    return mint.nn.functional.embedding(indices, table, max_norm=1.0)


def group_norm(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    return mint.nn.functional.group_norm(x, 4, gamma, beta, 1e-2)


def layer_norm(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    return ops.LayerNorm(1, 1, 1e-3)(x, gamma, beta)[0]


def layer_norm_of_rows(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    return mint.nn.functional.layer_norm(x, (4,), gamma, beta, 1e-3)


def layer_norm_of_blocks(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    return mint.nn.functional.layer_norm(x, (3, 4), gamma, beta)


def rms_norm(x: Tensor, gamma: Tensor) -> Tensor:
    return ops.rms_norm(x, gamma, 1e-2)[0]


def repeated(x: Tensor) -> Tensor:
    return x.repeat(2, 1, 3)


def narrow_method(x: Tensor) -> Tensor:
    return x.narrow(1, 1, 2)


def one_row(x: Tensor) -> Tensor:
    return x[:, 1]


def last_row(x: Tensor) -> Tensor:
    return x[:, -1]


def all_but_the_last(x: Tensor) -> Tensor:
    return x[..., :-1]


def every_other(x: Tensor) -> Tensor:
    return x[:, 1::2, ::3]


def corner(x: Tensor) -> Tensor:
    return x[0, 1:, 2]


def with_new_axes(x: Tensor) -> Tensor:
    return x[:, :, None, 1:, None]


def biased_convolution_and_itself(x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    product = ops.conv2d(x, weight, None, 1, "pad", 1)
    return ops.bias_add(product, bias), product


def biased_product_and_itself(x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    product = ops.MatMul(transpose_b=True)(x, weight)
    return ops.bias_add(product, bias), product


def biased_batch_of_products(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return ops.bias_add(ops.BatchMatMul(transpose_b=True)(x, weight), bias)


def flash_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return ops.flash_attention_score(query, key, value, 2, input_layout="BSH", scalar_value=0.5)


def masked_flash_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    return ops.flash_attention_score(query, key, value, 2, attn_mask=mask, input_layout="BNSD", scalar_value=0.25)


def idle_dropout(x: Tensor) -> Tensor:
    return mint.nn.functional.dropout(x + 1.0, 0.5, False)


def branching(x: Tensor) -> Tensor:
    if x.sum() > 0:
        return x + 1
    return x - 1


def looping(x: Tensor) -> Tensor:
    while x.sum() < 10:
        x = x + 1
    return x


def reversed_rows(x: Tensor) -> Tensor:
    return x[:, ::-1]


def windowed_flash_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return ops.flash_attention_score(query, key, value, 8, pre_tokens=2, next_tokens=0, input_layout="BNSD")
