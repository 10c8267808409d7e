"""The sources of one Ascend kernel, from its templates."""

from __future__ import annotations

import textwrap
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from coopdraw.kernels.ascend import capacity
from coopdraw.kernels.ascend.kernel import AscendKernel, Layout

_KERNELS = Path(__file__).resolve().parents[1]
_IS_310P = {Layout.CANN8: "__CCE_AICORE__ == 200", Layout.CANN9: "__NPU_ARCH__ == 2002"}
_DATA_TYPES = {"float16": "ge::DT_FLOAT16", "float32": "ge::DT_FLOAT"}


@cache
def environment() -> Environment:
    """Jinja over the folder kernels/: `ascend/templates/...` and `<operator>/....j2`."""
    return Environment(
        loader=FileSystemLoader(_KERNELS),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )


def kernel_source(kernel: AscendKernel, layout: Layout) -> str:
    """op_kernel/<entry>.cpp: what runs on the device, and in the simulator."""
    return _render(f"{kernel.folder}/op_kernel.cpp.j2", kernel, layout)


def host_source(kernel: AscendKernel, layout: Layout, socs: tuple[str, ...] | None = None) -> str:
    """op_host/<entry>.cpp: the operator's definition, its tiling and its shapes, for all its SoCs or some of them."""
    return _render(f"{kernel.folder}/op_host.cpp.j2", kernel, layout, socs=kernel.socs if socs is None else socs)


def tiling_header(kernel: AscendKernel, layout: Layout = Layout.CANN9) -> str:
    """<entry>_tiling.h: the struct that host and device share; a plain one in the layout of CANN 9."""
    return _render("ascend/templates/tiling.h.j2", kernel, layout)


def render_project_file(name: str, **context: Any) -> str:
    """A file of the project that isn't one kernel's source, from `ascend/templates/project/<name>.j2`."""
    return environment().get_template(f"ascend/templates/project/{name}.j2").render(context)


def _render(template: str, kernel: AscendKernel, layout: Layout, **others: Any) -> str:
    context = {
        "kernel": kernel,
        "layout": layout,
        "struct": f"{kernel.type_name}Tiling",
        "members": kernel.tiling.members(),
        "constants": kernel.constants,
        "capacity": capacity,
        "reserved_ub_bytes": capacity.RESERVED_UB_BYTES,
        "is_310p": _IS_310P[layout],
        "dtypes": [_DATA_TYPES[dtype] for dtype in kernel.dtypes],
        "formats": ["ge::FORMAT_ND"] * len(kernel.dtypes),
        "signature": _signature(kernel),
        "tiling_include": f'#include "{kernel.entry}_tiling.h"' if layout is Layout.CANN9 else "",
        "register_tiling": f"    REGISTER_TILING_DEFAULT({kernel.type_name}Tiling);" if layout is Layout.CANN9 else "",
        **others,
    }
    macros = environment().get_template("ascend/templates/host_macros.j2").make_module(context)
    context |= {name: getattr(macros, name) for name in ("begin_tiling", "set", "set_array", "finish_tiling")}
    return environment().get_template(template).render(context)


def _signature(kernel: AscendKernel) -> str:
    """Arguments of the kernel's entry: inputs, outputs, then the two that every kernel gets."""
    names = (*(parameter.name for parameter in (*kernel.inputs, *kernel.outputs)), "workspace", "tiling")
    arguments = ", ".join(f"GM_ADDR {name}" for name in names)
    return "\n" + textwrap.fill(arguments, 116, initial_indent="    ", subsequent_indent="    ")
