"""The scaling that diffusers writes into a safetensors file's metadata instead of `.alpha` tensors."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open

from coopdraw.exporter.lora.errors import LoraError
from coopdraw.exporter.lora.names import unet_module

_KEY = "lora_adapter_metadata"
_PREFIX = "unet."
_MODULE = re.compile(r"\^?[\w.]+")


@dataclass(frozen=True)
class AdapterSettings:
    """`lora_alpha`, `alpha_pattern` and `use_rslora` of PEFT's LoraConfig.

    A pattern is the end of a module's name, or all of it after a `^`; the first that fits counts.
    """

    lora_alpha: float
    alpha_pattern: Mapping[str, float]
    use_rslora: bool

    def alpha(self, module: str, rank: int) -> float:
        """What alpha has to be for alpha / rank to be the scaling of a module.

        Rank-stabilised LoRA scales by alpha / sqrt(rank) (arXiv 2312.03732).
        """
        name = unet_module(module)
        fitting = (alpha for pattern, alpha in self.alpha_pattern.items() if _fits(pattern, name))
        alpha = next(fitting, self.lora_alpha)
        return alpha * math.sqrt(rank) if self.use_rslora else alpha


def read_adapter_settings(path: Path) -> AdapterSettings | None:
    """The settings for the UNet, None if the file has none.

    Source: huggingface/diffusers:src/diffusers/loaders/lora_base.py. Raises LoraError if they are malformed, have
    patterns that are more than names, or say that the file is a DoRA.
    """
    if path.suffix != ".safetensors":
        return None
    with safe_open(path, framework="numpy") as file:
        text = (file.metadata() or {}).get(_KEY)
    if text is None:
        return None
    try:
        stored = {
            key.removeprefix(_PREFIX): value for key, value in json.loads(text).items() if key.startswith(_PREFIX)
        }
        return _settings(stored, path) if stored else None
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise LoraError(f"cannot read {_KEY} of {path} ({error!r}); save the LoRA again") from error


def _settings(stored: Mapping[str, Any], path: Path) -> AdapterSettings:
    patterns = {name: float(alpha) for name, alpha in (stored.get("alpha_pattern") or {}).items()}
    for pattern in patterns:
        if not _MODULE.fullmatch(pattern):
            raise LoraError(f"{path} has the alpha_pattern {pattern!r}; save it with the names of modules instead")
    if stored.get("use_dora"):
        raise LoraError(f"{path} is a DoRA, which can't be merged; merge it with the tool that trained it")
    return AdapterSettings(float(stored["lora_alpha"]), patterns, bool(stored.get("use_rslora")))


def _fits(pattern: str, module: str) -> bool:
    name = pattern.removeprefix("^")
    return module == name or (name == pattern and module.endswith(f".{name}"))
