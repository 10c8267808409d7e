"""Cells as model zoos write them, with `mindspore.mint` throughout: most of its primitives have no CPU kernel.

MindSpore parses this file's source.
"""

from __future__ import annotations

from mindspore import Tensor, lazy_inline, mint, nn

CHANNELS, GROUPS, HEADS, CONTEXT, TIME = 16, 4, 2, 12, 24


class ResnetBlock(nn.Cell):
    """(B, in, H, W) and a time embedding (B, TIME) to (B, out, H, W)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm1 = mint.nn.GroupNorm(GROUPS, in_channels, eps=1e-6)
        self.conv1 = mint.nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)
        self.time_emb_proj = mint.nn.Linear(TIME, out_channels)
        self.norm2 = mint.nn.GroupNorm(GROUPS, out_channels, eps=1e-6)
        self.dropout = mint.nn.Dropout(0.1)
        self.conv2 = mint.nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1)
        self.nonlinearity = mint.nn.SiLU()
        self.conv_shortcut = None
        if in_channels != out_channels:
            self.conv_shortcut = mint.nn.Conv2d(in_channels, out_channels, kernel_size=1)

    def construct(self, x: Tensor, embedding: Tensor) -> Tensor:
        hidden = self.conv1(self.nonlinearity(self.norm1(x)))
        hidden = hidden + self.time_emb_proj(self.nonlinearity(embedding))[:, :, None, None]
        hidden = self.conv2(self.dropout(self.nonlinearity(self.norm2(hidden))))
        if self.conv_shortcut is not None:
            x = self.conv_shortcut(x)
        return (x + hidden) / 1.0


class Attention(nn.Cell):
    """(B, L, C) attending to itself or to a context (B, S, D)."""

    def __init__(self, width: int, context_width: int) -> None:
        super().__init__()
        self.scale = (width // HEADS) ** -0.5
        self.to_q = mint.nn.Linear(width, width, bias=False)
        self.to_k = mint.nn.Linear(context_width, width, bias=False)
        self.to_v = mint.nn.Linear(context_width, width, bias=False)
        self.to_out = nn.SequentialCell(mint.nn.Linear(width, width), mint.nn.Dropout(0.0))

    def construct(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        context = x if context is None else context
        query = self.heads(self.to_q(x))
        key = self.heads(self.to_k(context))
        value = self.heads(self.to_v(context))
        scores = mint.bmm(query, mint.transpose(key, -1, -2)) * self.scale
        hidden = mint.bmm(mint.nn.functional.softmax(scores, dim=-1), value)
        batch, length, width = x.shape
        hidden = hidden.reshape(batch, HEADS, length, width // HEADS)
        return self.to_out(mint.permute(hidden, (0, 2, 1, 3)).reshape(batch, length, width))

    def heads(self, x: Tensor) -> Tensor:
        """(B, L, C) as (B * HEADS, L, C / HEADS)."""
        batch, length, width = x.shape
        parts = mint.reshape(x, (batch, length, HEADS, width // HEADS))
        return mint.permute(parts, (0, 2, 1, 3)).reshape(batch * HEADS, length, width // HEADS)


class GEGLU(nn.Cell):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = mint.nn.Linear(width, 8 * width)

    def construct(self, x: Tensor) -> Tensor:
        x, gate = mint.chunk(self.proj(x), 2, dim=-1)
        return x * mint.nn.functional.gelu(gate)


class TransformerBlock(nn.Cell):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = mint.nn.LayerNorm(width)
        self.attn1 = Attention(width, width)
        self.norm2 = mint.nn.LayerNorm(width)
        self.attn2 = Attention(width, CONTEXT)
        self.norm3 = mint.nn.LayerNorm(width)
        self.ff = nn.SequentialCell(GEGLU(width), mint.nn.Dropout(0.0), mint.nn.Linear(4 * width, width))

    def construct(self, x: Tensor, context: Tensor) -> Tensor:
        x = self.attn1(self.norm1(x)) + x
        x = self.attn2(self.norm2(x), context) + x
        return self.ff(self.norm3(x)) + x


class Upsample(nn.Cell):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = mint.nn.Conv2d(channels, channels, kernel_size=3, padding=1)

    def construct(self, x: Tensor) -> Tensor:
        return self.conv(mint.nn.functional.interpolate(x, scale_factor=2.0, mode="nearest"))


class Model(nn.Cell):
    """Latent (B, 4, H, W), timestep (1,) and context (B, S, CONTEXT) to (B, 4, 2H, 2W)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_in = mint.nn.Conv2d(4, 8, kernel_size=3, padding=1)
        self.time_embedding = nn.SequentialCell(mint.nn.Linear(8, TIME), mint.nn.SiLU(), mint.nn.Linear(TIME, TIME))
        self.resnets = nn.CellList([ResnetBlock(8, CHANNELS), ResnetBlock(CHANNELS, CHANNELS)])
        self.proj_in = mint.nn.Linear(CHANNELS, CHANNELS)
        self.blocks = nn.CellList([TransformerBlock(CHANNELS)])
        self.upsample = Upsample(CHANNELS)
        self.conv_out = mint.nn.Conv2d(CHANNELS, 4, kernel_size=3, padding=1)

    def construct(self, latent: Tensor, timestep: Tensor, context: Tensor) -> Tensor:
        angles = timestep[:, None] * mint.exp(mint.arange(0, 4) * -2.0)[None, :]
        embedding = self.time_embedding(mint.cat((mint.cos(angles), mint.sin(angles)), dim=-1))
        x = self.conv_in(latent)
        for resnet in self.resnets:
            x = resnet(x, embedding)
        batch, channels, height, width = x.shape
        tokens = self.proj_in(mint.permute(x, (0, 2, 3, 1)).reshape(batch, height * width, channels))
        for block in self.blocks:
            tokens = block(tokens, context)
        x = x + mint.permute(tokens.reshape(batch, height, width, channels), (0, 3, 1, 2))
        return self.conv_out(mint.nn.functional.silu(self.upsample(x)))


class Resizes(nn.Cell):
    """One image in every way that mint resizes."""

    def construct(self, image: Tensor) -> tuple[Tensor, ...]:
        interpolate = mint.nn.functional.interpolate
        return (
            interpolate(image, size=(9, 4), mode="nearest"),
            interpolate(image, size=(9, 4), mode="bilinear"),
            interpolate(image, size=(9, 4), mode="bilinear", align_corners=True),
            interpolate(image, size=(9, 4), mode="bicubic"),
            interpolate(image, size=(9, 4), mode="bicubic", align_corners=True),
        )


class Huge(nn.Cell):
    """4.3 GB of weights."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = mint.nn.Linear(32768, 32768, bias=False)

    def construct(self, x: Tensor) -> Tensor:
        return self.proj(x)


class Shared(nn.Cell):
    """A Cell that MindSpore keeps as one function for all its instances."""

    @lazy_inline
    def __init__(self) -> None:
        super().__init__()
        self.proj = mint.nn.Linear(4, 4)

    def construct(self, x: Tensor) -> Tensor:
        return mint.tanh(self.proj(x))


class SharedTwice(nn.Cell):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.CellList([Shared(), Shared()])

    def construct(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


class Unsupported(nn.Cell):
    def construct(self, x: Tensor) -> Tensor:
        return mint.sort(x)[0]


class Nested(nn.Cell):
    """Has another Cell as `blocks.0.attn`."""

    def __init__(self, cell: nn.Cell) -> None:
        super().__init__()
        block = nn.Cell()
        block.attn = cell
        self.blocks = nn.CellList([block])

    def construct(self, x: Tensor) -> Tensor:
        return self.blocks[0].attn(x)


class Selecting(nn.Cell):
    """How many elements are taken is known only when it runs."""

    def construct(self, x: Tensor) -> Tensor:
        return x[x > 0]


class NotInAGraph(nn.Cell):
    def construct(self, x: Tensor) -> Tensor:
        return x.no_such_method()


class TwoOutputs(nn.Cell):
    def construct(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x + 1, x * 2


class NestedOutputs(nn.Cell):
    def construct(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        return x + 1, (x * 2, x * 3)


class NumberAsOutput(nn.Cell):
    def construct(self, x: Tensor) -> tuple[Tensor, int]:
        return x + 1, 3
