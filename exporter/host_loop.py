"""The pipeline as users run it today: eager Cells in a Python loop with a NumPy schedule. The oracle of `verify`.

It shares no code with `graphs/sampling` on purpose: schedule, switch, guidance, Euler step and Coop-Diffusion
(arXiv 2312.16486, Algorithm 1) are written again here in their textbook form. States and mixing are float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

import numpy as np

from coopdraw.exporter.host_resize import fit
from coopdraw.exporter.host_start import HostPicture
from coopdraw.exporter.recipe import Experts, LatentBridge, Recipe, ResolutionBridge

Predict = Callable[..., np.ndarray]
"""(latent, timestep, context[, vector], residuals=[...], features=[...]) -> epsilon, arrays with the step's branches in
the batch; either list is empty where no such adapter acts."""
Control = Callable[..., Sequence[np.ndarray]]
"""(latent, timestep, context[, vector], hint) -> residuals for the UNet, the middle block's last, without the scale."""
Convert = Callable[[np.ndarray], np.ndarray]
Read = Callable[[np.ndarray], Sequence[np.ndarray]]
"""Picture -> features for the UNet, the largest first, without the scale."""


@dataclass(frozen=True)
class HostModels:
    """The networks of a pipeline as functions of float32 arrays.

    `predict` has the UNets by model name; `decode` (scaled latent to image in [-1, 1]) and `encode` (back, the scaled
    posterior mean) have the VAEs by model name; `hint` (picture in [0, 1], (B, C, H, W), to its features) and `control`
    have the ControlNets by adapter name, `features` (such a picture to a feature per level) the T2I-Adapters.
    `latent_shapes` are by model, for VAEs that can't encode.
    """

    predict: Mapping[str, Predict]
    decode: Mapping[str, Convert]
    encode: Mapping[str, Convert] = field(default_factory=dict)
    hint: Mapping[str, Convert] = field(default_factory=dict)
    control: Mapping[str, Control] = field(default_factory=dict)
    features: Mapping[str, Read] = field(default_factory=dict)
    latent_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def run_host_loop(
    recipe: Recipe, models: HostModels, inputs: Mapping[str, np.ndarray], progress: Callable[[int, int], None]
) -> dict[str, np.ndarray]:
    """`latent` and `image` for the same inputs as the compiled graph takes; arrays are float32, updates float64."""
    networks = _Networks(recipe, models, inputs)
    partners = [
        _Partner(bridge, networks) for bridge in recipe.coop if isinstance(bridge, LatentBridge) and bridge.strength
    ]
    resolutions = (bridge for bridge in recipe.coop if isinstance(bridge, ResolutionBridge))
    waiting = sorted(resolutions, key=lambda bridge: bridge.at, reverse=True)
    noise = inputs[f"{waiting[0].source}.noise" if waiting else "noise"]
    x = networks.first_latent(waiting[0].source if waiting else networks.experts[0], noise)
    for index, expert in enumerate(networks.experts):
        while waiting and networks.timesteps[index] <= waiting[0].at:
            bridge = waiting.pop(0)
            x0 = networks.clean_prediction(bridge.source, index, x)
            noise = inputs[f"{bridge.name}.noise"]
            following = waiting[0].source if waiting else expert
            x = networks.carry(x0, bridge.source, following, bridge.upsample) + networks.sigmas[index] * noise
            x = networks.restored(x, following, noise, index)
        model = waiting[0].source if waiting else expert
        x0 = networks.clean_prediction(model, index, x)
        for partner in partners:
            if _acts(partner.bridge.steps, index):
                x0 = partner.fuse(index, model, x0, noise)
        x = networks.restored(networks.euler_step(index, x, x0), model, noise, index + 1)
        progress(index + 1, len(networks.experts))
    latent = x.astype(np.float32)
    image = np.clip(models.decode[recipe.pipeline.vae](latent) * 0.5 + 0.5, 0.0, 1.0)
    return {"latent": latent, "image": image if networks.picture is None else networks.picture.pasted(image)}


def host_schedule(steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Timesteps (steps,) and sigmas (steps + 1,), float64: the released LegacyDDPMDiscretization (arXiv 2312.16486)."""
    root_betas = np.linspace(np.sqrt(0.00085), np.sqrt(0.012), 1000)
    abar = np.exp(np.cumsum(np.log1p(-(root_betas**2))))
    timesteps = np.linspace(999, 0, steps, endpoint=False).astype(int)
    return timesteps, np.append(np.sqrt(1 / abar[timesteps] - 1), 0.0)


def host_experts(experts: Experts, timesteps: np.ndarray) -> Iterator[str]:
    """The expert of each step, whoever runs it."""
    looked_at = timesteps if experts.switch == "current" else np.concatenate([[1000], timesteps[:-1]])
    for t in looked_at:
        yield experts.structure if t >= experts.t_struct else experts.texture


def host_branches(scales: Mapping[str, float]) -> list[str]:
    """The branches in a batch; where the text's scale is 1 there is no unconditional one."""
    first = [] if scales["text"] == 1.0 else ["uncond"]
    return [*first, "text", *(name for name in scales if name != "text")]


def guided(epsilon: Mapping[str, np.ndarray], scales: Mapping[str, float]) -> np.ndarray:
    """uc + s*(c - uc) + sum_k s_k*(c_k - c)."""
    text = epsilon["text"].astype(np.float64)
    base = epsilon.get("uncond", text)
    result: np.ndarray = base + scales["text"] * (text - base)
    for style in set(scales) - {"text"}:
        result = result + scales[style] * (epsilon[style] - text)
    return result


def _acts(window: tuple[int, int] | None, index: int) -> bool:
    return window is None or window[0] <= index < window[1]


def _plus(total: Sequence[np.ndarray], scale: float, added: Sequence[np.ndarray]) -> list[np.ndarray]:
    """total + scale * added, place by place in float64; where one is shorter, the other goes on alone."""
    pairs = zip_longest(total, added, fillvalue=np.zeros(()))
    return [one + scale * other.astype(np.float64) for one, other in pairs]


class _Networks:
    """Clean predictions and transfers between latent spaces, for one set of inputs."""

    def __init__(self, recipe: Recipe, models: HostModels, inputs: Mapping[str, np.ndarray]) -> None:
        self.recipe, self.models, self.inputs = recipe, models, inputs
        timesteps, sigmas = host_schedule(recipe.pipeline.steps)
        first = 0 if recipe.start is None else len(timesteps) - max(1, math.floor(len(timesteps) * recipe.strength))
        self.timesteps, self.sigmas = timesteps[first:], sigmas[first:]
        self.experts = list(host_experts(recipe.pipeline.experts, timesteps))[first:]
        self.picture = None if recipe.start is None else HostPicture(recipe, models.encode, inputs)
        self._read: dict[str, Sequence[np.ndarray]] = {}

    def clean_prediction(self, model: str, index: int, x: np.ndarray) -> np.ndarray:
        """A model's guided x0 = x - sigma*epsilon at a step."""
        sigma, scales = self.sigmas[index], self._scales(index)
        branches = host_branches(scales)
        batch = np.concatenate([x / np.sqrt(sigma**2 + 1)] * len(branches)).astype(np.float32)
        arrays = [batch, np.array([self.timesteps[index]], np.float32), *self._conditions(model, branches)]
        epsilon = self.models.predict[model](*arrays, **self._added(model, index, len(branches), arrays))
        parts = np.split(epsilon, len(branches))
        x0: np.ndarray = x - sigma * guided(dict(zip(branches, parts, strict=True)), scales)
        return x0

    def _scales(self, index: int) -> Mapping[str, float]:
        """The scale of each branch: where guidance is off, 1 for the text and no others (arXiv 2404.07724)."""
        pipeline = self.recipe.pipeline
        return pipeline.guidance if _acts(pipeline.guidance_steps, index) else {"text": 1.0}

    def first_latent(self, model: str, noise: np.ndarray) -> np.ndarray:
        """x at the first step: scaled noise, or the start picture with noise."""
        sigma = self.sigmas[0]
        scaled: np.ndarray = noise * np.sqrt(1 + sigma**2)
        return scaled if self.picture is None else self.picture.noised(model, noise, sigma)

    def restored(self, x: np.ndarray, model: str, noise: np.ndarray, index: int) -> np.ndarray:
        """x of the running model before a step, with the start picture outside of a mask."""
        return x if self.picture is None else self.picture.restored(x, model, noise, self.sigmas[index])

    def euler_step(self, index: int, x: np.ndarray, x0: np.ndarray) -> np.ndarray:
        """x at the next step."""
        sigma, sigma_next = self.sigmas[index], self.sigmas[index + 1]
        result: np.ndarray = x + (x - x0) / sigma * (sigma_next - sigma)
        return result

    def carry(self, x0: np.ndarray, source: str, target: str, mode: str | None = None) -> np.ndarray:
        """A clean latent of one model as one of another, through the image."""
        image = self.models.decode[self.recipe.vae_of(source)](x0.astype(np.float32))
        resized = fit(image, self.recipe.image_size_of(target), mode)
        return self.models.encode[self.recipe.vae_of(target)](resized.astype(np.float32)).astype(np.float64)

    def latent_shape(self, model: str) -> tuple[int, ...]:
        """Shape of a model's latent: what is given, or that of an encoded blank image."""
        if model in self.models.latent_shapes:
            return self.models.latent_shapes[model]
        return self.models.encode[self.recipe.vae_of(model)](self._blank_image(model)).shape

    def _conditions(self, model: str, branches: Sequence[str]) -> list[np.ndarray]:
        experts = self.recipe.pipeline.experts
        prefix = "" if model in (experts.structure, experts.texture) else f"{model}."
        return [
            np.concatenate([self.inputs[f"{prefix}{kind}.{branch}"] for branch in branches])
            for kind in ("context", "vector")
            if f"{prefix}{kind}.{branches[0]}" in self.inputs
        ]

    def _added(
        self, model: str, index: int, branches: int, arrays: Sequence[np.ndarray]
    ) -> dict[str, list[np.ndarray]]:
        """Sums of what the ControlNets and T2I-Adapters of a model that act at a step add, each times its scale."""
        residuals: list[np.ndarray] = []
        features: list[np.ndarray] = []
        for name in self.recipe.models[model].adapters:
            adapter = self.recipe.adapters[name]
            if adapter.scale == 0.0 or not _acts(adapter.steps, index):
                continue
            read = [np.concatenate([array] * branches) for array in self._of_picture(name)]
            if adapter.kind == "controlnet":
                control = self.models.control[name](*arrays, *read)
                residuals = _plus(residuals, adapter.scale, control)
            else:
                features = _plus(features, adapter.scale, read)
        rounded = {"residuals": residuals, "features": features}
        return {kind: [array.astype(np.float32) for array in arrays] for kind, arrays in rounded.items()}

    def _of_picture(self, adapter: str) -> Sequence[np.ndarray]:
        """What an adapter makes of its picture: a ControlNet's hint, a T2I-Adapter's features."""
        if adapter not in self._read:
            picture = self.inputs[f"{adapter}.image"]
            if self.recipe.adapters[adapter].kind == "controlnet":
                self._read[adapter] = [self.models.hint[adapter](picture)]
            else:
                self._read[adapter] = self.models.features[adapter](picture)
        return self._read[adapter]

    def _blank_image(self, model: str) -> np.ndarray:
        return np.zeros((self.recipe.pipeline.batch, 3, *self.recipe.image_size_of(model)), np.float32)


class _Partner:
    """The partner of a latent bridge and its state x'."""

    def __init__(self, bridge: LatentBridge, networks: _Networks) -> None:
        self.bridge, self._networks = bridge, networks
        self._x: np.ndarray | None = None

    def fuse(self, index: int, main: str, x0: np.ndarray, main_noise: np.ndarray) -> np.ndarray:
        """x0 = d*E(D'(x0')) + (1-d)*x0, and the partner's own step (Algorithm 1).

        `x0` is the prediction of the running model `main` as earlier bridges left it, `main_noise` what `main` started
        from. A partner that starts at a later step enters from E'(D(x0)).
        """
        networks, name, strength = self._networks, self.bridge.partner, self.bridge.strength
        x = self._enter(index, main, x0, main_noise) if self._x is None else self._x
        partner_x0 = networks.clean_prediction(name, index, x)
        fused = strength * networks.carry(partner_x0, name, main) + (1 - strength) * x0
        if self.bridge.feedback and self._acts_again(index):
            partner_x0 = networks.carry(fused, main, name)
        self._x = networks.euler_step(index, x, partner_x0)
        return fused

    def _acts_again(self, index: int) -> bool:
        """Whether the partner's next latent is ever looked at: feedback at its last step would be for nobody."""
        following = index + 1
        return following + 1 < len(self._networks.sigmas) and _acts(self.bridge.steps, following)

    def _enter(self, index: int, main: str, x0: np.ndarray, main_noise: np.ndarray) -> np.ndarray:
        networks, name, shared = self._networks, self.bridge.partner, self.bridge.share_noise
        if shared is None:
            shared = networks.latent_shape(name) == main_noise.shape
        noise = main_noise if shared else networks.inputs[f"{name}.noise"]
        if index == 0:
            return networks.first_latent(name, noise)
        entered: np.ndarray = networks.carry(x0, main, name) + networks.sigmas[index] * noise
        return entered
