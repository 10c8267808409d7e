"""Fused operators: what fusion passes find and kernels compute; each can be taken apart into plain operators."""

from coopdraw.graphs.ops.fused import attention, bias_activation, geglu, group_norm, layer_norm, linear_combination

FAMILIES = (attention, bias_activation, geglu, group_norm, layer_norm, linear_combination)
"""The modules whose import registers the operators."""

__all__ = ["FAMILIES"]
