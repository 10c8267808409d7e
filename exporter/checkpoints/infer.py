"""Architecture from tensor shapes, for checkpoints that come without a config.json.

Names are those of the released MindSpore layout, without the model's prefix.
"""

from __future__ import annotations

from typing import Any

from coopdraw.exporter.checkpoints.errors import CheckpointError
from coopdraw.exporter.checkpoints.module_names import Weights, count_numbered

HEAD_CHANNELS = 64
HEADS = 8
UNSHUFFLE, XL_UNSHUFFLE = 8, 16
RES_BLOCKS = 2


def infer_unet_fields(weights: Weights, origin: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The fields of a UNetConfig, and the names of those that are conventions because no shape tells them.

    Heads: 64 channels each in models with linear projections (SD 2.x, SDXL, PanGu-Draw), else 8 heads (SD 1.x).
    Raises CheckpointError if a tensor that is needed to tell is missing.
    """
    fields, assumed = _encoder_half_fields(weights, origin)
    return fields | {"out_channels": _shape(weights, "out.2.weight", 4, origin)[0]}, assumed


def infer_controlnet_fields(weights: Weights, origin: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The fields of a ControlNetConfig, and the names of those that are conventions, as for a UNet.

    Raises CheckpointError if a tensor that is needed to tell is missing.
    """
    fields, assumed = _encoder_half_fields(weights, origin)
    hint = "input_hint_block"
    # The first convolution gives the first entry, every second of the others the next.
    indices = range(0, count_numbered(weights, hint) - 1, 4)
    fields |= {
        "out_channels": fields["in_channels"],
        "hint_channels": tuple(_shape(weights, f"{hint}.{index}.weight", 4, origin)[0] for index in indices),
        "conditioning_channels": _shape(weights, f"{hint}.0.weight", 4, origin)[1],
    }
    return fields, assumed


def _encoder_half_fields(weights: Weights, origin: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What a UNet's encoder tells."""
    model_channels, in_channels = _shape(weights, "input_blocks.0.0.weight", 4, origin)[:2]
    channels, depths, num_res_blocks = _walk_levels(weights, origin)
    middle_depth = _depth(weights, "middle_block.1")
    linear = len(_shape(weights, "middle_block.1.proj_in.weight", None, origin)) == 2
    if any(width % model_channels for width in channels):
        raise CheckpointError(f"{origin}: channels {channels} are no multiples of {model_channels}; use another UNet")
    fields: dict[str, Any] = {
        "in_channels": in_channels,
        "model_channels": model_channels,
        "channel_mult": tuple(width // model_channels for width in channels),
        "num_res_blocks": num_res_blocks,
        "transformer_depth": depths,
        "middle_transformer_depth": middle_depth,
        "num_heads": tuple(max(1, width // HEAD_CHANNELS) if linear else HEADS for width in channels),
        "context_dim": _shape(weights, "middle_block.1.transformer_blocks.0.attn2.to_k.weight", 2, origin)[1],
        "vector_dim": None,
        "use_linear_projection": linear,
    }
    if "label_emb.0.0.weight" in weights:
        fields["vector_dim"] = _shape(weights, "label_emb.0.0.weight", 2, origin)[1]
    return fields, ("num_heads", "norm_groups")


def infer_t2i_adapter_fields(weights: Weights, origin: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The fields of a T2IAdapterConfig, and the names of those that are conventions.

    The released adapters read 8x8 pixels at once for SD 1.x and 16x16 for SDXL, in grey or colour. Raises
    CheckpointError if a tensor that is needed to tell is missing.
    """
    width = _shape(weights, "conv_in.weight", 4, origin)[1]
    is_xl = width in (XL_UNSHUFFLE**2, 3 * XL_UNSHUFFLE**2)
    downscale_factor = XL_UNSHUFFLE if is_xl else UNSHUFFLE
    blocks = count_numbered(weights, "body")
    changes = [index for index in range(blocks) if f"body.{index}.in_conv.weight" in weights]
    num_res_blocks = changes[0] if changes else RES_BLOCKS
    if num_res_blocks < 1 or blocks % num_res_blocks:
        raise CheckpointError(
            f"{origin}: {blocks} blocks of which {changes} change the channels make no levels of equal length; "
            "use a T2I-Adapter of the full type"
        )
    firsts = range(0, blocks, num_res_blocks)
    fields: dict[str, Any] = {
        "in_channels": max(1, width // downscale_factor**2),
        "channels": tuple(_shape(weights, f"body.{index}.block1.weight", 4, origin)[0] for index in firsts),
        "num_res_blocks": num_res_blocks,
        "downscale_factor": downscale_factor,
        "adapter_type": "full_adapter_xl" if is_xl else "full_adapter",
    }
    return fields, ("in_channels", "downscale_factor", "adapter_type") + (() if changes else ("num_res_blocks",))


def infer_autoencoder_fields(weights: Weights, origin: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The fields of an AutoencoderConfig but `scaling_factor`, and the names of those that are conventions.

    One half is enough. Raises CheckpointError if a tensor that is needed to tell is missing.
    """
    if "decoder.conv_in.weight" in weights:
        fields = _decoder_fields(weights, origin)
    else:
        fields = _encoder_fields(weights, origin)
    if "encoder.conv_in.weight" in weights:
        fields["in_channels"] = _shape(weights, "encoder.conv_in.weight", 4, origin)[1]
        fields["use_quant_conv"] = "quant_conv.weight" in weights
    return fields, ("norm_groups",)


def _decoder_fields(weights: Weights, origin: str) -> dict[str, Any]:
    channels = _level_channels(weights, "decoder.up", origin)
    out_channels = _shape(weights, "decoder.conv_out.weight", 4, origin)[0]
    return {
        "in_channels": out_channels,
        "out_channels": out_channels,
        "latent_channels": _shape(weights, "decoder.conv_in.weight", 4, origin)[1],
        "channels": channels[0],
        "channel_mult": tuple(width // channels[0] for width in channels),
        "num_res_blocks": count_numbered(weights, "decoder.up.0.block") - 1,
        "mid_attention": "decoder.mid.attn_1.q.weight" in weights,
        "use_post_quant_conv": "post_quant_conv.weight" in weights,
    }


def _encoder_fields(weights: Weights, origin: str) -> dict[str, Any]:
    channels = _level_channels(weights, "encoder.down", origin)
    in_channels = _shape(weights, "encoder.conv_in.weight", 4, origin)[1]
    return {
        "in_channels": in_channels,
        "out_channels": in_channels,
        "latent_channels": _shape(weights, "encoder.conv_out.weight", 4, origin)[0] // 2,
        "channels": channels[0],
        "channel_mult": tuple(width // channels[0] for width in channels),
        "num_res_blocks": count_numbered(weights, "encoder.down.0.block"),
        "mid_attention": "encoder.mid.attn_1.q.weight" in weights,
    }


def _level_channels(weights: Weights, module: str, origin: str) -> tuple[int, ...]:
    levels = count_numbered(weights, module)
    names = [f"{module}.{level}.block.0.conv1.weight" for level in range(levels)]
    channels = tuple(_shape(weights, name, 4, origin)[0] for name in names)
    if not channels or any(width % channels[0] for width in channels):
        raise CheckpointError(
            f"{origin}: channels {channels} of {module} are no multiples of the first; use another VAE"
        )
    return channels


def _walk_levels(weights: Weights, origin: str) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Channels and transformer depth of each level, and residual blocks per level."""
    levels: list[list[tuple[int, int]]] = [[]]
    for index in range(1, count_numbered(weights, "input_blocks")):
        if f"input_blocks.{index}.0.op.weight" in weights:
            levels.append([])
            continue
        width = _shape(weights, f"input_blocks.{index}.0.out_layers.3.weight", 4, origin)[0]
        levels[-1].append((width, _depth(weights, f"input_blocks.{index}.1")))
    num_res_blocks = len(levels[0])
    if num_res_blocks == 0 or any(len(blocks) != num_res_blocks or len(set(blocks)) != 1 for blocks in levels):
        raise CheckpointError(
            f"{origin}: the residual blocks of a level differ from each other, which the built-in UNet cannot be; "
            "use a UNet of the SD or SDXL family"
        )
    return tuple(blocks[0][0] for blocks in levels), tuple(blocks[0][1] for blocks in levels), num_res_blocks


def _depth(weights: Weights, module: str) -> int:
    return count_numbered(weights, f"{module}.transformer_blocks")


def _shape(weights: Weights, name: str, rank: int | None, origin: str) -> tuple[int, ...]:
    if name not in weights:
        raise CheckpointError(f"{origin} has no tensor {name}, so its architecture can't be told; fetch it again")
    shape = weights[name].type.shape
    if (rank is not None and len(shape) != rank) or 0 in shape:
        raise CheckpointError(
            f"{origin}: tensor {name} has shape {list(shape)}; give a checkpoint of the SD or SDXL family"
        )
    return shape
