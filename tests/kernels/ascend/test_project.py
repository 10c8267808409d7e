"""Operator projects: which files they have, and that CMake and the shell take them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from coopdraw.graphs.errors import GraphError
from coopdraw.kernels.ascend.catalogue import ASCEND_KERNELS as KERNELS
from coopdraw.kernels.ascend.kernel import Layout
from coopdraw.kernels.ascend.project import project_files, write_project

SOCS = ("ascend910b", "ascend310p")

# Stands for the toolkit's package: its functions check that the files which they are given exist.
ASC_CONFIG = """
function(npu_op_package name)
    cmake_parse_arguments(ARG "CONFIG" "TYPE;ENABLE_SOURCE_PACKAGE;ENABLE_BINARY_PACKAGE;INSTALL_PATH" "" ${ARGN})
    if(NOT ARG_TYPE STREQUAL "RUN" OR NOT ARG_INSTALL_PATH OR ARG_UNPARSED_ARGUMENTS)
        message(FATAL_ERROR "package ${name}: ${ARGN}")
    endif()
    message(STATUS "package ${name} for ${ASCEND_COMPUTE_UNIT}")
endfunction()
function(check_sources)
    foreach(source ${ARGN})
        if(NOT EXISTS ${source})
            message(FATAL_ERROR "no ${source}")
        endif()
        message(STATUS "source ${source}")
    endforeach()
endfunction()
function(npu_op_code_gen)
    cmake_parse_arguments(ARG "" "PACKAGE;OUT_DIR" "SRC" ${ARGN})
    check_sources(${ARG_SRC})
endfunction()
function(npu_op_library name type)
    check_sources(${ARGN})
    add_custom_target(${name})
    message(STATUS "library ${name} ${type}")
endfunction()
function(target_compile_options)
endfunction()
function(target_include_directories)
endfunction()
function(npu_op_kernel_sources name)
    cmake_parse_arguments(ARG "" "OP_TYPE;KERNEL_FILE;KERNEL_DIR" "" ${ARGN})
    check_sources(${CMAKE_CURRENT_SOURCE_DIR}/${ARG_KERNEL_FILE})
    message(STATUS "kernel ${ARG_OP_TYPE} ${ARG_KERNEL_FILE}")
endfunction()
function(npu_op_kernel_library name)
    cmake_parse_arguments(ARG "" "SRC_BASE;TILING_LIBRARY" "" ${ARGN})
    check_sources(${ARG_SRC_BASE})
    add_custom_target(${name})
endfunction()
function(npu_op_package_add name)
    cmake_parse_arguments(ARG "" "" "LIBRARY" ${ARGN})
    foreach(library ${ARG_LIBRARY})
        if(NOT TARGET ${library})
            message(FATAL_ERROR "no library ${library}")
        endif()
    endforeach()
endfunction()
"""


@pytest.fixture(params=list(Layout))
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    write_project(folder, KERNELS, request.param, SOCS)
    return folder


def test_files_are_always_the_same() -> None:
    for layout in Layout:
        files = project_files(KERNELS, layout, SOCS)
        assert files == project_files(tuple(reversed(KERNELS)), layout, SOCS)
        assert {name.split("/")[0] for name in files} >= {
            "CMakeLists.txt",
            "build.sh",
            "op_host",
            "op_kernel",
            "framework",
        }
        for text in files.values():
            assert text.endswith("\n")
            assert not re.search(r"[ \t]+$", text, re.MULTILINE)


def test_names_on_the_device_differ() -> None:
    assert len({kernel.type_name for kernel in KERNELS}) == len({kernel.entry for kernel in KERNELS}) == len(KERNELS)
    for kernel in KERNELS:  # OpType: letters and digits, a capital first
        assert re.fullmatch("[A-Z][A-Za-z0-9]*", kernel.type_name)


def test_layouts_differ_in_how_tiling_is_defined() -> None:
    old, new = (project_files(KERNELS, layout, SOCS) for layout in (Layout.CANN8, Layout.CANN9))
    assert "BEGIN_TILING_DATA_DEF" in old["op_host/coopdraw_group_norm_tiling.h"]
    assert "struct CoopdrawGroupNormTiling {" in new["op_kernel/coopdraw_group_norm_tiling.h"]
    assert "REGISTER_TILING_DEFAULT" not in old["op_kernel/coopdraw_group_norm.cpp"]
    assert "REGISTER_TILING_DEFAULT" in new["op_kernel/coopdraw_group_norm.cpp"]


def test_presets_name_the_processors(project: Path) -> None:
    variables = json.loads((project / "CMakePresets.json").read_text())["configurePresets"][0]["cacheVariables"]
    assert variables["ASCEND_COMPUTE_UNIT"]["value"] == "ascend910b;ascend310p"
    assert 'AddConfig("ascend310p")' in (project / "op_host/coopdraw_group_norm.cpp").read_text()


def test_one_processor_leaves_out_the_others(tmp_path: Path) -> None:
    write_project(tmp_path, KERNELS, "cann9", ("ascend910b",))
    assert "ascend310p" not in (tmp_path / "CMakePresets.json").read_text()
    assert "ascend310p" not in (tmp_path / "op_host/coopdraw_group_norm.cpp").read_text()


def test_scripts_are_executable_and_clean(project: Path) -> None:
    script = project / "build.sh"
    assert script.stat().st_mode & 0o111
    checker = shutil.which("shellcheck", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if checker is None:
        pytest.skip("shellcheck is not installed")
    done = subprocess.run([checker, script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_build_asks_for_the_toolkit(project: Path) -> None:
    done = subprocess.run([project / "build.sh"], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})
    assert done.returncode == 1
    assert "error: no CANN toolkit is set; source its set_env.sh" in done.stderr


@pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not installed")
def test_cmake_configures_it(project: Path, tmp_path: Path) -> None:
    for place in ("toolkit", "toolkit/compiler/tikcpp/ascendc_kernel_cmake"):  # CANN 9 and 8
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / place / "ASCConfig.cmake").write_text(ASC_CONFIG)
    command = [
        "cmake",
        "-S",
        ".",
        "-B",
        "build_out",
        "--preset=default",
        f"-DASCEND_CANN_PACKAGE_PATH={tmp_path / 'toolkit'}",
    ]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for part in (
        "package coopdraw for ascend910b;ascend310p",
        "kernel CoopdrawGroupNorm coopdraw_group_norm.cpp",
        "kernel CoopdrawLinearCombination coopdraw_linear_combination.cpp",
        "library cust_optiling TILING",
        "library cust_op_proto GRAPH",
    ):
        assert part in done.stdout


def test_folders_with_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    with pytest.raises(GraphError, match="is not empty"):
        write_project(tmp_path, KERNELS, Layout.CANN9, SOCS)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("kernels", "socs", "part"),
    [
        ((), SOCS, "at least one kernel"),
        (KERNELS, (), "at least one SoC"),
        (KERNELS, ("ascend910",), "not for ascend910"),
    ],
)
def test_projects_of_nothing(kernels: tuple, socs: tuple[str, ...], part: str) -> None:
    with pytest.raises(GraphError, match=part):
        project_files(kernels, Layout.CANN9, socs)
