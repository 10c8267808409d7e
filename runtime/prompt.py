"""From captions to pictures: tokens, text encoder, noise and the sampling graph."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from coopdraw.runtime.errors import BundleError, InputError
from coopdraw.runtime.manifest import TEXT, TextEncoder
from coopdraw.runtime.noise import draw_noise, is_noise
from coopdraw.runtime.session import Session
from coopdraw.runtime.tokenizer import tokenize

UNCONDITIONAL = "uncond"
PROMPT = TEXT
START_IMAGE, START_MASK = "image", "mask"
"""Inputs of bundles that start from a picture."""


def prompt_inputs(
    session: Session,
    captions: Mapping[str, Sequence[str]],
    seed: int | Sequence[int],
    pictures: Mapping[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """All inputs of one run. `captions` has one caption per picture of the batch for each guidance branch, `pictures`
    what the inputs `image`, `mask` and `<adapter>.image` get.

    The `uncond` branch is the empty caption unless it is given. Picture i of the batch is drawn with `seed + i`, or
    with its own seed if there are several. Raises BundleError for a bundle that captions alone can't feed, InputError
    for captions it can't take.
    """
    manifest = session.bundle.manifest
    encoder = manifest.text_encoder
    if encoder is None:
        raise BundleError(f"{session.bundle.folder} has no text encoder; give its inputs as tensors (--inputs)")
    inputs = {spec.name: draw_noise(spec, seed) for spec in manifest.inputs if is_noise(spec.name)}
    branches = caption_branches(encoder, captions)
    captions = {UNCONDITIONAL: [""] * manifest.batch, **captions}
    for branch in branches:
        if len(captions[branch]) != manifest.batch:
            raise InputError(
                f"branch {branch} has {len(captions[branch])} captions; give {manifest.batch}, one a picture"
            )
        encoded = session.run_text_encoder(tokenize(encoder, list(captions[branch])))
        for feed in encoder.feeds:
            if feed.branch == branch:
                inputs.update({target: encoded[output] for output, target in feed.inputs.items()})
    inputs.update(pictures or {})
    unfed = [spec.name for spec in manifest.inputs if spec.name not in inputs]
    if unfed:
        raise BundleError(f"captions can't make the inputs {', '.join(unfed)}; {_missing_options(unfed)}")
    return inputs


def caption_branches(encoder: TextEncoder, given: Collection[str]) -> tuple[str, ...]:
    """The guidance branches that take captions; raises InputError if `given` has another or lacks one."""
    branches = tuple(dict.fromkeys(feed.branch for feed in encoder.feeds))
    for branch in given:
        if branch not in branches:
            raise InputError(f"there is no guidance branch {branch}; the bundle has {', '.join(branches)}")
    for branch in branches:
        if branch != UNCONDITIONAL and branch not in given:
            raise InputError(f"guidance branch {branch} has no caption; add --branch {branch}=CAPTION")
    return branches


def _missing_options(unfed: Sequence[str]) -> str:
    """The options of `coopdraw run` that give the inputs, as far as pictures can."""
    options = {name: f"--image {name.removesuffix('.image')}=PNG" for name in unfed if name.endswith(".image")}
    options |= {name: f"--{name} PNG" for name in unfed if name in (START_IMAGE, START_MASK)}
    return f"add {' '.join(options.values())}" if options else "give all inputs as tensors (--inputs)"


def draw_pictures(
    session: Session,
    prompts: Sequence[str],
    seed: int,
    branches: Mapping[str, str] | None = None,
    images: Mapping[str, np.ndarray] | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Pictures (N, 3, H, W) in [0, 1]: one for each prompt, or a whole batch of one prompt.

    Picture i is drawn with `seed + i`. `branches` has captions of other guidance branches, the same for all pictures,
    `images` control pictures, start picture and mask by input name.
    `on_step` is told how many pictures of how many are done.
    """
    batch = session.bundle.manifest.batch
    wanted = list(prompts) if len(prompts) != 1 else list(prompts) * batch
    pictures = []
    for start in range(0, len(wanted), batch):
        part = wanted[start : start + batch]
        # A graph has a fixed batch: the last run is filled up, and what filled it is dropped.
        filled = part + part[-1:] * (batch - len(part))
        captions = {PROMPT: filled, **{name: [caption] * batch for name, caption in (branches or {}).items()}}
        outputs = session.run(prompt_inputs(session, captions, seed + start, images))
        if "image" not in outputs:
            raise BundleError(f"{session.bundle.folder} has no output `image`; run it on tensors (--inputs)")
        pictures.append(outputs["image"][: len(part)])
        if on_step is not None:
            on_step(start + len(part), len(wanted))
    if not pictures:
        raise InputError("there are no prompts; give at least one")
    return np.concatenate(pictures)
