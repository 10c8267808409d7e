"""The lines that `coopdraw serve` reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from coopdraw.runtime.errors import InputError
from coopdraw.runtime.image import read_picture
from coopdraw.runtime.service import PictureRequest

_Id = Annotated[str, Field(min_length=1), BeforeValidator(lambda id: str(id) if type(id) is int else id)]


class Cancel(BaseModel):
    """Drop the request with this id."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    cancel: _Id


class Draw(BaseModel):
    """Draw a picture and write it to `output`; `images` are files by adapter, or for `image` and `mask`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    id: _Id
    prompt: Annotated[str, Field(min_length=1)]
    output: Path
    seed: Annotated[int, Field(ge=0)] = 0
    branches: dict[str, str] = {}
    images: dict[str, Path] = {}
    timeout: Annotated[float, Field(gt=0)] | None = None

    def as_request(self, shapes: Mapping[str, tuple[int, ...]]) -> PictureRequest:
        """The request with its pictures read; `shapes` are those of the bundle's inputs."""
        if self.output.suffix.lower() != ".png":
            raise InputError(f"output {self.output} must end with .png")
        images = {}
        for name, path in self.images.items():
            input_name = name if name in shapes else f"{name}.image"
            if input_name not in shapes:
                raise InputError(f"images has {name}, which is no input of the bundle; remove it")
            images[input_name] = read_picture(path, (1, *shapes[input_name][1:]))[0]
        return PictureRequest(self.prompt, self.seed, self.branches, images)


def read_line(line: str, number: int) -> Draw | Cancel:
    """A request from its line; without an id it has the line's number. Raises InputError for what is none."""
    try:
        members = json.loads(line)
        if not isinstance(members, dict):
            raise InputError(f"line {number} is no JSON object; give one with prompt and output")
        kind = Cancel if "cancel" in members else Draw
        return kind.model_validate(members if kind is Cancel else {"id": number, **members})
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise InputError(f"line {number}: {place}: {problem['msg']}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"line {number} is not valid JSON ({error}); give one object a line") from None
