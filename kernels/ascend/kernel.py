"""What an operator's definition says about its Ascend kernel."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from coopdraw.graphs.ir import Attribute, Node
from coopdraw.kernels.ascend.tiling import Launch, Tiling
from coopdraw.kernels.simulator.build import CoreChoice
from coopdraw.kernels.simulator.soc import Soc


class Layout(StrEnum):
    """The two forms of an operator project: tiling structs by macro (CANN 8), or plain (CANN 9)."""

    CANN8 = "cann8"
    CANN9 = "cann9"


class AttributeKind(StrEnum):
    """Types of attributes, named as OpDef's setters are; a choice is an Int, its index."""

    INT = "Int"
    FLOAT = "Float"
    BOOL = "Bool"
    LIST_FLOAT = "ListFloat"
    LIST_INT = "ListInt"


@dataclass(frozen=True)
class Parameter:
    """A tensor that the device's operator takes or gives; an optional one may be left out of a call."""

    name: str
    optional: bool = False


@dataclass(frozen=True)
class AttributeParameter:
    """An attribute of the device's operator; None as default makes it required."""

    name: str
    kind: AttributeKind
    default: int | float | bool | None = None

    @property
    def option(self) -> str:
        """OpDef's word for whether it may be left out."""
        return "REQUIRED" if self.default is None else "OPTIONAL"

    @property
    def literal(self) -> str:
        """The default in C++, empty if there is none."""
        if self.default is None:
            return ""
        if isinstance(self.default, float):
            return f"{self.default!r}f"
        return json.dumps(self.default)


@dataclass(frozen=True)
class Call:
    """A node as the device's operator sees it.

    `inputs` has an index into the node's inputs for every parameter, None for one left out; `outputs` likewise, None
    for one that the node doesn't have. `attributes` are the device's values, in the order of the kernel's attributes.
    """

    inputs: tuple[int | None, ...]
    outputs: tuple[int | None, ...]
    attributes: tuple[Attribute, ...]


@dataclass(frozen=True, eq=False)
class AscendKernel:
    """The Ascend kernel of one operator, for vector or cube cores.

    `operators` are the canonical operators it computes; `type_name` is its name on the device, `folder` the folder
    below kernels/ with its templates `op_host.cpp.j2` and `op_kernel.cpp.j2`. `tiling` is the struct. `dtypes` are the
    element types of every tensor, `socs` the families of SoCs it is for, as AddConfig names them.
    `limits(node, soc)` says why a node of these types is none for the kernel, as a clause; None if it is one.
    `problem(node)` gives what the tiling depends on, and `launch(problem, soc)` how to start the kernel for it.
    `call(node)` maps the node to the device's operator. Templates see `constants` under that name. `cores` says which
    units run it where cube and vector cores are separate.
    """

    operators: tuple[str, ...]
    type_name: str
    folder: str
    inputs: tuple[Parameter, ...]
    outputs: tuple[Parameter, ...]
    attributes: tuple[AttributeParameter, ...]
    tiling: type[Tiling]
    problem: Callable[[Node], Any]
    launch: Callable[[Any, Soc], Launch]
    call: Callable[[Node], Call]
    limits: Callable[[Node, Soc], str | None]
    dtypes: tuple[str, ...] = ("float16", "float32")
    socs: tuple[str, ...] = ("ascend910b", "ascend310p")
    constants: Mapping[str, Any] = field(default_factory=dict)
    cores: CoreChoice = "vector"

    def __post_init__(self) -> None:
        object.__setattr__(self, "constants", MappingProxyType(dict(self.constants)))

    @property
    def entry(self) -> str:
        """The kernel's function and the name of its files, as CANN derives them from the type."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", self.type_name).lower()

    def refusal(self, node: Node, soc: Soc) -> str | None:
        """Why the kernel can't compute the node on the SoC, as a clause; None if it can."""
        if not soc.name.startswith(self.socs):
            return f"the Ascend kernel {self.type_name} is for {' and '.join(self.socs)}, not for {soc.name}"
        for value in (*node.inputs, *node.outputs):
            if value.type.dtype not in self.dtypes:
                return (
                    f"the Ascend kernel {self.type_name} takes {' or '.join(self.dtypes)}, but %{value.name} is "
                    f"{value.type}"
                )
        return self.limits(node, soc)

    def launch_of(self, node: Node, soc: Soc) -> Launch:
        """How to start the kernel for a node that it doesn't refuse."""
        return self.launch(self.problem(node), soc)
