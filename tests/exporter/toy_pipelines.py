"""Pipelines of tiny affine networks, and arXiv 2312.16486's Algorithm 1 for them in the paper's own variables.

The reference works on z_t and predicted noise with a DDIM step; the host loop works on x = z0 + sigma*epsilon with an
Euler step. Latents have three channels and the size of the image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from coopdraw.exporter.host_loop import HostModels
from coopdraw.exporter.recipe import Recipe

GUIDANCE = 2.5
Arrays = Sequence[np.ndarray]


@dataclass(frozen=True)
class Toy:
    """A UNet epsilon = gain*z + bias*context and a VAE that loses some of what it encodes."""

    name: str
    size: tuple[int, int] = (4, 4)
    gain: float = 0.6
    bias: float = 0.3
    brightness: float = 1.0
    loss: float = 0.9

    def predict(self, latent: np.ndarray, timestep: np.ndarray, context: np.ndarray, **added: Arrays) -> Any:
        """What adapters add is added to epsilon."""
        tilt = 1 + timestep[0] / 2000  # so that a wrong timestep shows
        epsilon = self.gain * tilt * latent + self.bias * context[:, :, None, None]
        return (epsilon + sum(array for arrays in added.values() for array in arrays)).astype(np.float32)

    def decode(self, latent: np.ndarray) -> np.ndarray:
        return (self.brightness * latent + 0.1).astype(np.float32)

    def encode(self, image: np.ndarray) -> np.ndarray:
        return (self.loss * (image - 0.1) / self.brightness + 0.05).astype(np.float32)

    def epsilon(self, inputs: Mapping[str, np.ndarray], z: np.ndarray, t: int) -> np.ndarray:
        """The guided prediction."""
        prefix = "" if self.name in ("structure", "texture") else f"{self.name}."
        uncond, text = (
            self.predict(z, np.array([t]), inputs[f"{prefix}context.{branch}"]) for branch in ("uncond", "text")
        )
        return uncond + GUIDANCE * (text - uncond)


MAIN = Toy("structure")
TEXTURE = Toy("texture", gain=0.5, bias=-0.2)
PARTNER = Toy("partner", gain=0.4, bias=0.5, brightness=0.7, loss=0.8)


@dataclass
class Calls:
    """Who was called with which timestep and latent, in order."""

    made: list[tuple[str, int, np.ndarray]] = field(default_factory=list)
    added: list[tuple[str, dict[str, Arrays]]] = field(default_factory=list)

    def recorded(self, toy: Toy) -> Callable[..., np.ndarray]:
        def predict(latent: np.ndarray, timestep: np.ndarray, context: np.ndarray, **added: Arrays) -> Any:
            self.made.append((toy.name, int(timestep[0]), latent))
            self.added.append((toy.name, added))
            return toy.predict(latent, timestep, context, **added)

        return predict

    def who(self) -> list[tuple[str, int]]:
        return [(name, timestep) for name, timestep, _ in self.made]

    def given(self, name: str, kind: str) -> list[Arrays]:
        """The `residuals` or `features` that a model was given at each call."""
        return [added[kind] for called, added in self.added if called == name]

    def latents(self, name: str) -> list[np.ndarray]:
        """What a model was given, one branch."""
        return [latent[: len(latent) // 2] for called, _, latent in self.made if called == name]


def toy_recipe(coop: Sequence[Mapping[str, Any]], others: Sequence[Toy] = (), steps: int = 6, **keys: Any) -> Recipe:
    """The experts "structure" and "texture", VAE "vae"; every other toy has a VAE of its own, `<name>_vae`.

    `keys` may have `adapters` (tables by name) and `adapters_of` (model to names).
    """
    adapters_of = keys.pop("adapters_of", {})
    models: dict[str, Any] = {
        name: {"kind": "unet", "weights": name, "adapters": adapters_of.get(name, [])}
        for name in ("structure", "texture", *(toy.name for toy in others))
    }
    for toy in others:
        models[toy.name] |= {"vae": f"{toy.name}_vae", "image_size": toy.size}
    vaes = {name: {"kind": "vae", "weights": name} for name in ("vae", *(f"{toy.name}_vae" for toy in others))}
    pipeline = {
        "name": "toys",
        "image_size": MAIN.size,
        "steps": steps,
        "guidance": {"text": GUIDANCE},
        "experts": {"structure": "structure", "texture": "texture"},
        "vae": "vae",
    }
    return Recipe.model_validate({"pipeline": pipeline, "models": models | vaes, "coop": coop, **keys})


def toy_models(others: Sequence[Toy] = (), calls: Calls | None = None, **maps: Any) -> HostModels:
    """The toys as the host loop takes them."""
    recorder = calls or Calls()
    vaes = {"vae": MAIN} | {f"{toy.name}_vae": toy for toy in others}
    return HostModels(
        {toy.name: recorder.recorded(toy) for toy in (MAIN, TEXTURE, *others)},
        {name: toy.decode for name, toy in vaes.items()},
        {name: toy.encode for name, toy in vaes.items()},
        **maps,
    )


def toy_inputs(others: Sequence[Toy] = (), **noises: tuple[int, int]) -> dict[str, np.ndarray]:
    """`noise`, the conditions of everybody, and noises by input name (dots as __) and size."""
    generator = np.random.default_rng(7)
    draw = lambda *shape: generator.standard_normal((1, *shape)).astype(np.float32)  # noqa: E731
    inputs = {"noise": draw(3, *MAIN.size)}
    for prefix in ("", *(f"{toy.name}." for toy in others)):
        inputs |= {f"{prefix}context.{branch}": draw(3) for branch in ("uncond", "text")}
    return inputs | {name.replace("__", "."): draw(3, *size) for name, size in noises.items()}


@dataclass(frozen=True)
class Fusion:
    """A latent bridge of the reference; `noise` is what the partner starts from or is given when it enters."""

    partner: Toy
    noise: np.ndarray
    strength: float
    window: tuple[int, int]
    feedback: bool


def algorithm_1(inputs: Mapping[str, np.ndarray], fusions: Sequence[Fusion], steps: int = 6) -> np.ndarray:
    """Algorithm 1's z_0 for the two experts and any number of partners."""
    t, abar = paper_schedule(steps)
    z, partners = inputs["noise"].astype(np.float64), [fusion.noise.astype(np.float64) for fusion in fusions]
    for i in range(steps):
        toy = MAIN if i == 0 or t[i - 1] >= 500 else TEXTURE
        epsilon = toy.epsilon(inputs, z, t[i])
        for k, fusion in enumerate(fusions):
            first, end = fusion.window
            if not first <= i < end:
                continue
            if i == first > 0:
                main_z0 = (z - np.sqrt(1 - abar[i]) * epsilon) / np.sqrt(abar[i])
                entered = transfer(main_z0, MAIN, fusion.partner)
                partners[k] = np.sqrt(abar[i]) * entered + np.sqrt(1 - abar[i]) * fusion.noise
            partner_z = partners[k]
            partner_epsilon = fusion.partner.epsilon(inputs, partner_z, t[i])
            partner_z0 = (partner_z - np.sqrt(1 - abar[i]) * partner_epsilon) / np.sqrt(abar[i])
            carried = transfer(partner_z0, fusion.partner, MAIN)
            carried_epsilon = (z - np.sqrt(abar[i]) * carried) / np.sqrt(1 - abar[i])
            epsilon = fusion.strength * carried_epsilon + (1 - fusion.strength) * epsilon
            if fusion.feedback:
                fused_z0 = (z - np.sqrt(1 - abar[i]) * epsilon) / np.sqrt(abar[i])
                returned = transfer(fused_z0, MAIN, fusion.partner)
                partner_epsilon = (partner_z - np.sqrt(abar[i]) * returned) / np.sqrt(1 - abar[i])
            partners[k] = ddim(partner_z, partner_epsilon, abar[i], abar[i + 1])
        z = ddim(z, epsilon, abar[i], abar[i + 1])
    return z


def paper_schedule(steps: int) -> tuple[list[int], list[float]]:
    """Timesteps and abar of each, with the final abar of 1."""
    abar = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)
    t = [int(999 - 999 * i / steps) for i in range(steps)]
    return t, [*(float(abar[timestep]) for timestep in t), 1.0]


def ddim(z: np.ndarray, epsilon: np.ndarray, abar: float, abar_next: float) -> np.ndarray:
    """S(z_t, t, epsilon), deterministic."""
    z0 = (z - np.sqrt(1 - abar) * epsilon) / np.sqrt(abar)
    result: np.ndarray = np.sqrt(abar_next) * z0 + np.sqrt(1 - abar_next) * epsilon
    return result


def transfer(z0: np.ndarray, source: Toy, target: Toy) -> np.ndarray:
    """E(D'(z0')), with the image grown by linear interpolation or shrunk by whole blocks."""
    image = source.brightness * z0 + 0.1
    for axis, (extent, wanted) in enumerate(zip(source.size, target.size, strict=True), start=2):
        image = np.apply_along_axis(_resized_line, axis, image, extent, wanted)
    result: np.ndarray = target.loss * (image - 0.1) / target.brightness + 0.05
    return result


def _resized_line(line: np.ndarray, extent: int, wanted: int) -> np.ndarray:
    if wanted < extent:
        return line.reshape(wanted, extent // wanted).mean(1)
    return np.interp((np.arange(wanted) + 0.5) * extent / wanted - 0.5, np.arange(extent), line)
