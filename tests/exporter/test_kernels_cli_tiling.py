"""Tiling structs from C++ text: g++ says how they lie in memory."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from coopdraw.exporter.kernel_runs.errors import KernelRequestError
from coopdraw.exporter.kernel_runs.operator_folder import open_operator
from coopdraw.exporter.kernel_runs.tiling_data import TilingStructs

TYPES = (
    "bool",
    "int8_t",
    "uint8_t",
    "int16_t",
    "uint16_t",
    "int32_t",
    "uint32_t",
    "float",
    "int64_t",
    "uint64_t",
    "double",
)
STRUCTS = 40


def plain_struct(choose: random.Random, index: int) -> str:
    """A struct with a few members of any type, arrays and earlier structs among them."""
    lines = []
    for member in range(choose.randint(1, 9)):
        type = choose.choice(TYPES)
        if index > 5 and choose.random() < 0.2:
            type = f"T{choose.randrange(5)}"
        array = f"[{choose.randint(1, 5)}]" if type in TYPES and choose.random() < 0.3 else ""
        lines.append(f"    {type} m{member}{array};")
    return f"struct T{index} {{\n" + "\n".join(lines) + "\n};\n"


def test_layout_is_that_of_the_compiler(tmp_path: Path) -> None:
    """Every byte of every struct is set to its number, so that a member that lies elsewhere has another value."""
    choose = random.Random(0)
    text = "".join(plain_struct(choose, index) for index in range(STRUCTS))
    structs = TilingStructs([text])
    values = {f"T{index}": filled(text, f"T{index}", choose) for index in range(STRUCTS)}
    checks = [line for name, members in values.items() for line in compared(name, members, structs.pack(name, members))]
    source = tmp_path / "check.cc"
    source.write_text(
        "#include <cstdint>\n#include <cstdio>\n#include <cstring>\n"
        f"{text}int main() {{\n    int wrong = 0;\n{''.join(checks)}    return wrong;\n}}\n"
    )
    program = tmp_path / "check"
    subprocess.run([shutil.which("g++") or "g++", "-std=c++20", "-w", source, "-o", program], check=True)
    done = subprocess.run([program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def filled(text: str, struct: str, choose: random.Random) -> dict[str, object]:
    body = re.search(rf"struct {struct} \{{(.*?)\}}", text, re.DOTALL)
    assert body is not None
    members: dict[str, object] = {}
    for type, name, count in re.findall(r"(\w+) (m\d+)(?:\[(\d+)\])?;", body[1]):
        if type.startswith("T"):
            members[name] = filled(text, type, choose)
        else:
            numbers = [
                choose.randint(0, 1) if type == "bool" else choose.randint(1, 100) for _ in range(int(count or 1))
            ]
            members[name] = numbers if count else numbers[0]
    return members


def compared(struct: str, members: dict[str, object], packed: bytes) -> list[str]:
    """C++ that reads the struct from the bytes and prints members that differ."""
    data = ", ".join(map(str, packed))
    lines = [f"    {{ static const unsigned char bytes[] = {{{data}}}; {struct} s;\n"]
    lines.append(f'      if (sizeof(s) != sizeof(bytes)) {{ wrong = 1; std::printf("size of {struct}\\n"); }}\n')
    lines.append("      else { std::memcpy(&s, bytes, sizeof(s));\n")
    for path, value in leaves("s", members):
        lines.append(f'        if (s{path[1:]} != {value}) {{ wrong = 1; std::printf("{struct}{path[1:]}\\n"); }}\n')
    return [*lines, "      } }\n"]


def leaves(path: str, value: object) -> list[tuple[str, object]]:
    if isinstance(value, dict):
        return [leaf for name, part in value.items() for leaf in leaves(f"{path}.{name}", part)]
    if isinstance(value, list):
        return [leaf for index, part in enumerate(value) for leaf in leaves(f"{path}[{index}]", part)]
    return [(path, value)]


def test_macros_lie_as_the_plain_struct() -> None:
    macros = """BEGIN_TILING_DATA_DEF(Inner)
        TILING_DATA_FIELD_DEF(int64_t, a); END_TILING_DATA_DEF;
        BEGIN_TILING_DATA_DEF(Outer) TILING_DATA_FIELD_DEF(uint8_t, flag);
        TILING_DATA_FIELD_DEF_ARR(uint16_t, 3, counts);  // three
        TILING_DATA_FIELD_DEF_STRUCT(Inner, inner); END_TILING_DATA_DEF;"""
    plain = "struct Inner { int64_t a; }; struct Outer { uint8_t flag; uint16_t counts[3]; Inner inner; };"
    values = {"flag": 1, "counts": [2, 3, 4], "inner": {"a": -5}}
    assert TilingStructs([macros]).pack("Outer", values) == TilingStructs([plain]).pack("Outer", values)


def test_the_tiling_of_matmul_is_known(tmp_path: Path) -> None:
    """The library's struct, which operators have in theirs."""
    (tmp_path / "op_kernel").mkdir()
    (tmp_path / "op_kernel" / "product.cpp").write_text(
        "struct ProductTiling { TCubeTiling cube; int64_t rows; };\n"
        "void product(GM_ADDR a, GM_ADDR b, GM_ADDR c, GM_ADDR workspace, GM_ADDR tiling) {\n"
        "    REGISTER_TILING_DEFAULT(ProductTiling);\n    REGIST_MATMUL_OBJ(&pipe, work, mm);\n}\n"
    )
    operator = open_operator(tmp_path, "product")
    assert (operator.struct, operator.parameters, operator.cores) == ("ProductTiling", ("a", "b", "c"), "mixed")
    with pytest.raises(KernelRequestError, match=r"the tiling lacks usedCoreNum, M, N.* of TCubeTiling"):
        operator.structs.pack("ProductTiling", {"cube": {}, "rows": 1})


def test_an_unknown_struct_names_those_found() -> None:
    with pytest.raises(KernelRequestError, match="no tiling struct Other; those found are Inner"):
        TilingStructs(["struct Inner { int64_t a; };"]).pack("Other", {})


def test_structs_of_other_things_are_left_alone() -> None:
    assert TilingStructs(["struct A { std::vector<int> a; }; struct B { void f(); int32_t x; };"]).names() == ()
