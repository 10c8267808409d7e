"""The recipe's tables: what a TOML file may say, and which values each key takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, StringConstraints

LARGEST_IMAGE = 8192
RANDOM = "random"
"""The `weights` of a model without a checkpoint: random ones, to measure an architecture that `config` describes."""

# Names become parts of function and input names such as `structure.unet`, so they have no dots.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]
Timestep = Annotated[int, Field(ge=0, le=1000)]
StepIndex = Annotated[int, Field(ge=0, le=1000)]
Pixels = Annotated[int, Field(ge=1, le=LARGEST_IMAGE)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Experts(_Table):
    """The two UNets (names of models) and when the texture expert takes over.

    The structure expert runs while t >= `t_struct`, where t is the timestep of the step itself for `switch = "current"`
    (arXiv 2312.16486), and of the step before it for "previous" (mindone:examples/pangu_draw_v3, the released rule).
    """

    structure: Name
    texture: Name
    t_struct: Timestep = 500
    switch: Literal["previous", "current"] = "previous"


class Pipeline(_Table):
    """`image_size` is (height, width) in pixels; `guidance` has the scale of each branch besides `uncond`, and acts at
    `guidance_steps` [first, end) (None: all steps); at the others only `text` predicts (arXiv 2404.07724).

    `context_length` is the number of tokens of `context`, 77 if it isn't given; a text encoder has its own.
    """

    name: Name
    image_size: Annotated[tuple[Pixels, Pixels], Field(strict=False)]
    batch: Annotated[int, Field(ge=1, le=64)] = 1
    steps: Annotated[int, Field(ge=1, le=1000)]
    sampler: Literal["euler"] = "euler"
    guidance: dict[Name, float]
    guidance_steps: Annotated[tuple[StepIndex, StepIndex], Field(strict=False)] | None = None
    experts: Experts
    vae: Name
    text_encoder: Name | None = None
    context_length: Annotated[int, Field(ge=1, le=4096)] | None = None


class Start(_Table):
    """Starts from a picture, input `image`, and runs the last int(`strength` * steps) steps of the schedule, at least
    one (diffusers:pipelines/stable_diffusion_xl/pipeline_stable_diffusion_xl_img2img.py). With `mask`, an input of that
    name says where it is painted anew; `keep_pixels` takes the other pixels from the picture itself.
    """

    kind: Literal["image"]
    strength: Annotated[float, Field(gt=0, le=1)]
    mask: bool = False
    keep_pixels: bool = False


class LatentBridge(_Table):
    """A partner whose predictions are mixed into the running model's at `steps` [first, end): arXiv 2312.16486, Alg. 1.

    `strength` is the partner's share. With `feedback` the mixed prediction goes back to the partner. `share_noise`
    starts the partner from the running model's noise (None: where their latents have the same shape). `steps` counts
    the steps that are run; None is all of them.
    """

    bridge: Literal["latent"]
    partner: Annotated[Name, Field(alias="with")]
    strength: Annotated[float, Field(ge=0, le=1)] = 0.5
    steps: Annotated[tuple[StepIndex, StepIndex], Field(strict=False)] | None = None
    feedback: bool = True
    share_noise: bool | None = None


class ResolutionBridge(_Table):
    """A model of another resolution that runs first, down to the first step whose t is at most `at`; then its
    prediction is decoded, resized and encoded for the next model, which goes on with fresh noise, input `<name>.noise`.
    """

    bridge: Literal["resolution"]
    source: Annotated[Name, Field(alias="from")]
    at: Timestep
    upsample: Literal["nearest", "bilinear", "bicubic", "area"] = "bilinear"
    name: Name = "bridge"


Bridge = Annotated[LatentBridge | ResolutionBridge, Field(discriminator="bridge")]


class Adapter(_Table):
    """A ControlNet or T2I-Adapter on a UNet: `scale` multiplies what it adds, `steps` [first, end) limits it (None: all
    steps).
    """

    kind: Literal["controlnet", "t2i_adapter"]
    weights: Annotated[str, Field(min_length=1)]
    config: dict[str, Any] = {}
    scale: float = 1.0
    steps: Annotated[tuple[StepIndex, StepIndex], Field(strict=False)] | None = None


class Lora(_Table):
    """A LoRA merged into a UNet's weights: its file, beside the recipe, and its strength."""

    weights: Annotated[str, Field(min_length=1)]
    scale: float = 1.0
    ignore_text_encoder: bool = False


class Model(_Table):
    """A model's weights, relative to the recipe. `config` overrides entries of the checkpoint's own configuration;
    `cell` names a factory of an `nn.Cell` that stands in for the built-in model: it is called with `config` as
    keywords, its parameters have the names in `weights`, and `inputs` has the shapes of its inputs without the batch.
    A UNet of `[[coop]]` has its own `vae` and perhaps another `image_size`. `adapters` names what is added to a UNet,
    `loras` are merged into its weights in order.
    """

    kind: Literal["unet", "vae", "words"]
    weights: Annotated[str, Field(min_length=1)]
    config: dict[str, Any] = {}
    cell: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    inputs: dict[Name, Annotated[list[Annotated[int, Field(ge=1, le=65536)]], Field(min_length=1, max_length=7)]] = {}
    vae: Name | None = None
    image_size: Annotated[tuple[Pixels, Pixels], Field(strict=False)] | None = None
    adapters: tuple[Name, ...] = Field(default=(), strict=False)
    loras: tuple[Lora, ...] = Field(default=(), strict=False)


class Verify(_Table):
    """What the compiled graph must reach against a host loop: the image's PSNR in dB, and the latent's largest absolute
    error divided by its range. `transfer_error` is the most that a transfer between latent spaces may cost at any
    step, in predicted noise (which has standard deviation 1). `half_psnr` is the image's PSNR in dB that half precision
    must reach against float32.
    """

    image_psnr: Annotated[float, Field(gt=0)] = 50.0
    latent_error: Annotated[float, Field(gt=0)] = 1e-3
    transfer_error: Annotated[float, Field(gt=0)] = 1.0
    half_psnr: Annotated[float, Field(gt=0)] = 30.0


class Target(_Table):
    """Where the graph will run. Every bundle runs on the CPU, in float32: with `kernels` fused operators are computed
    by kernels of coopdraw's own library, without they are taken apart into MindSpore's operators; `forms` are those for
    other runtimes that the bundle gets. Another `name` adds what an Atlas host with that SoC needs.

    `precision` is that of the networks on the device, None is float16 there. `keep_float32` names models, functions or
    Cells in them that must stay in float32 wherever the others don't; None is every VAE. `coopdraw verify --precision
    float16` uses it on any bundle. `operators` says by canonical operator who computes it on the device: `own` kernels,
    `built-in` operators of the device, or `auto`, the faster by estimate.
    """

    name: Literal["cpu", "ascend910b", "ascend310p"] = "cpu"
    kernels: bool = True
    forms: Annotated[tuple[Literal["lite", "onnx"], ...], Field(strict=False)] = ("lite", "onnx")
    precision: Literal["float32", "float16"] | None = None
    operators: dict[str, Literal["auto", "own", "built-in"]] = {}
    keep_float32: tuple[Annotated[str, Field(min_length=1)], ...] | None = Field(default=None, strict=False)


class Passes(_Table):
    """Which passes run: all of them, only the `basic` ones (constants, repeated and unused work), or none; `disabled`
    names passes that are left out.
    """

    level: Literal["full", "basic", "none"] = "full"
    disabled: tuple[str, ...] = Field(default=(), strict=False)


class Expect(_Table):
    """What the compiled graph must have: at least so many fused operators of a name, such as `attention = 16`."""

    fusions: dict[str, Annotated[int, Field(ge=0)]] = {}


class Recipe(_Table):
    """A valid recipe. `path` is the file it was read from; paths inside are relative to its folder."""

    pipeline: Pipeline
    models: dict[Name, Model]
    adapters: dict[Name, Adapter] = {}
    coop: Annotated[tuple[Bridge, ...], Field(strict=False)] = ()
    start: Start | None = None
    passes: Passes = Passes()
    expect: Expect = Expect()
    verify: Verify = Verify()
    target: Target = Target()
    _path: Path = PrivateAttr()

    @property
    def path(self) -> Path:
        return self._path

    @property
    def source_folder(self) -> Path:
        """The folder of the recipe."""
        return self._path.parent

    def weights_path(self, name: str) -> Path:
        """Where the weights of a model or adapter are: a file or a folder."""
        return self.source_folder / (self.models.get(name) or self.adapters[name]).weights

    @property
    def strength(self) -> float:
        """The share of the schedule that is run."""
        return 1.0 if self.start is None else self.start.strength

    def vae_of(self, model: str) -> str:
        """Name of the VAE whose latents a UNet works on."""
        return self.models[model].vae or self.pipeline.vae

    def image_size_of(self, model: str) -> tuple[int, int]:
        """(height, width) in pixels of what a UNet draws."""
        return self.models[model].image_size or self.pipeline.image_size


def recipe_as_compiled(recipe: Recipe) -> dict[str, Any]:
    """The recipe with all defaults filled in, as plain JSON; paths are as they were written."""
    return recipe.model_dump(mode="json", exclude_none=True, by_alias=True)
