"""A host for a deploy kit: a bundle with the kit, and stand-ins for the tools of CANN and MindSpore Lite.

A stand-in writes down how it was called and does what its tool would leave on the disk. What it prints is what the
tools print: converter_lite and benchmark as in converter_tool.md and benchmark_tool.md of
mindspore-ai/docs:docs/lite/docs/source_en/mindir, npu-smi and ascend_toolkit_install.info as users have posted them
(vllm-project/vllm-ascend#834).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from runtime.tiny_bundle import ENCODER, INPUTS, hash_files, tiny_manifest

from coopdraw.exporter.deploy.facts import DeployFacts
from coopdraw.exporter.deploy.kit import write_deploy_kit
from coopdraw.runtime.manifest import MANIFEST_NAME, Form, Manifest

OPERATORS = ("CoopdrawAttention", "CoopdrawGroupNorm")
RECORDED = (
    "ASCEND_CUSTOM_OPP_PATH",
    "ASCEND_DEVICE_ID",
    "COOPDRAW_DEVICE_ID",
    "COOPDRAW_ASCEND_FOLDER",
    "LD_LIBRARY_PATH",
)
_NEEDED = (
    "sh bash basename cat cp cut dirname grep head ls mkdir mv nproc printf pwd realpath rm sed sha256sum sort tail tr"
)

_RECORD = f"""#!/bin/sh
{{
    echo "$(basename "$0")"
    for argument; do echo "    $argument"; done
    echo "  in $PWD"
    for name in {" ".join(RECORDED)}; do
        eval "value=\\${{$name:-}}"
        [ -z "$value" ] || echo "  with $name=$value"
    done
}} >>"$RECORD"
"""
_TOOLS = {
    "converter_lite": """
for argument; do
    case $argument in --outputFile=*) output=${argument#--outputFile=} ;; esac
done
case ${FAKE_CONVERTER:-} in
    fails) echo "[ERROR] Convert model failed"; echo "Convert failed. Ret: Common error code."; exit 1 ;;
    ez3003)
        echo "EZ3003: No supported Ops kernel and engine are found for [Custom_7], optype [CoopdrawAttention]."
        exit 1 ;;
    old) echo "can only support the maximum mind ir version: 1, but got version: 3"; exit 1 ;;
    lies) echo "CONVERT RESULT SUCCESS:0"; exit 0 ;;
    silent) echo "nothing"; exit 0 ;;
    large) mkdir "${output}_variables"; echo weights >"${output}_variables/data_0"; output=${output}_graph ;;
esac
mkdir kernel_meta
echo "converted" >"$output.mindir"
echo "CONVERT RESULT SUCCESS:0"
""",
    "benchmark": """
case ${FAKE_BENCHMARK:-} in
    fails) echo "Benchmark init Error"; exit 1 ;;
    silent) exit 0 ;;
esac
printf "Model = sampling.mindir, NumThreads = 2, "
echo "MinRunTime = 72.228996 ms, MaxRuntime = 73.094002 ms, AvgRunTime = 72.556000 ms"
""",
    "npu-smi": """
case ${FAKE_NPU:-} in
    fails) echo "dcmi model initialized failed, because the device is used. ret is -8020"; exit 1 ;;
    empty) exit 0 ;;
esac
cat <<END
+------------------------------------------------------------------------------------------------+
| npu-smi 24.1.rc1                 Version: 24.1.rc1                                             |
+---------------------------+---------------+----------------------------------------------------+
| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip                      | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
+===========================+===============+====================================================+
| 0     ${FAKE_CHIP:-910B3}               | OK            | 97.6        52                0    / 0             |
| 0                         | 0000:C1:00.0  | 0           0    / 0          3525 / 65536         |
+===========================+===============+====================================================+
END
""",
    "cmake": "",
    "coopdraw": 'echo "wrote picture.png: 1 picture, seed 0"',
    "python3": 'if [ -n "${FAKE_WHEEL-2.10.0}" ]; then echo "${FAKE_WHEEL-2.10.0}"; else exit 1; fi',
}
# What the operator project's build.sh does on a host with CANN: it leaves an installer.
_BUILD = (
    _RECORD.replace('$(basename "$0")', "build.sh")
    + """
case ${FAKE_BUILD:-} in
    fails) echo "op_kernel/coopdraw_attention.cpp:7:1: error: unknown type name 'LocalTensr'"; exit 1 ;;
    empty) exit 0 ;;
esac
mkdir build_out
cp installer.sh build_out/custom_opp_linux_x86_64.run
"""
)
_INSTALLER = (
    _RECORD
    + """
[ "${FAKE_INSTALL:-}" != fails ] || { echo "[ERROR] create vendors failed"; exit 1; }
vendor=${1#--install-path=}/vendors/coopdraw
operators=${FAKE_OPERATORS-\\"CoopdrawAttention\\": {\\}, \\"CoopdrawGroupNorm\\": {\\}}
for soc in ascend910b ascend310p; do
    config=$vendor/op_impl/ai_core/tbe/config/$soc
    mkdir -p "$config"
    echo "{ $operators }" >"$config/aic-$soc-ops-info.json"
done
"""
)


def write_tool(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def deploy_facts(soc: str = "ascend910b") -> DeployFacts:
    return DeployFacts(
        name="tiny",
        soc=soc,
        precision="float16",
        inputs=INPUTS,
        outputs=tiny_manifest({}).outputs,
        text_encoder=ENCODER,
        custom_operators=OPERATORS,
        fuse_attention=True,
        mindspore="2.10.0",
    )


def write_atlas_bundle(folder: Path, facts: DeployFacts) -> Manifest:
    """A bundle for Atlas whose graphs are stand-ins: nothing here reads them."""
    for path in (
        "sampling.mindir",
        "text_encoder.mindir",
        *(f"ascend/{m}.{r}" for m in facts.models for r in ("mindir", "onnx")),
    ):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(f"{path} of {facts.soc}\n")
    project = folder / "kernels" / "ascend"
    project.mkdir(parents=True)
    (project / "build.sh").write_text(_BUILD)
    (project / "installer.sh").write_text(_INSTALLER)
    write_deploy_kit(folder / "deploy", facts)
    manifest = replace(
        tiny_manifest(hash_files(folder)),
        forms={"ascend": Form("ascend/sampling.mindir", "ascend/text_encoder.mindir")},
    )
    (folder / MANIFEST_NAME).write_text(manifest.to_json())
    return manifest


@dataclass(frozen=True)
class Host:
    """`folder` has a space in its name, and so have all paths below it."""

    folder: Path

    @property
    def bundle(self) -> Path:
        return self.folder / "tiny.bundle"

    @property
    def work(self) -> Path:
        return self.folder / "tiny.bundle.ascend"

    @property
    def lite(self) -> Path:
        return self.folder / "mindspore-lite-2.10.0-linux-x64"

    @property
    def tools(self) -> Path:
        return self.folder / "bin"

    @property
    def cann(self) -> Path:
        return self.folder / "cann"

    def run(
        self, script: str, *arguments: str, shell: str = "sh", environment: Mapping[str, str | None] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs a script of the kit from another folder, with only the stand-ins and the basic tools in PATH."""
        variables: dict[str, str | None] = {
            "PATH": f"{self.tools}:{self.folder / 'basic'}",
            "RECORD": str(self.folder / "record.txt"),
            "ASCEND_HOME_PATH": str(self.cann),
            "LITE_HOME": str(self.lite),
            "HOME": str(self.folder),
            **(environment or {}),
        }
        elsewhere = self.folder / "elsewhere"
        elsewhere.mkdir(exist_ok=True)
        return subprocess.run(
            [self.folder / "basic" / shell, self.bundle / "deploy" / script, *arguments],
            cwd=elsewhere,
            env={name: value for name, value in variables.items() if value is not None},
            capture_output=True,
            text=True,
        )

    def calls(self) -> str:
        """What the stand-ins wrote down, with the places of this test by name."""
        record = self.folder / "record.txt"
        text = record.read_text() if record.exists() else ""
        for name in ("work", "bundle", "lite", "cann", "folder"):
            text = text.replace(str(getattr(self, name)), f"<{name}>")
        return text


def make_host(folder: Path, facts: DeployFacts, without: Iterable[str] = ()) -> Host:
    """A host on which everything is there, but for the tools `without`."""
    host = Host(folder / "a host")
    write_atlas_bundle(host.bundle, facts)
    for name, text in _TOOLS.items():
        if name in without:
            continue
        inside = {"converter_lite": "tools/converter/converter", "benchmark": "tools/benchmark"}.get(name)
        write_tool(host.lite / inside / name if inside else host.tools / name, _RECORD + text)
    (host.lite / "tools/converter/lib").mkdir(parents=True)
    info = host.cann / "x86_64-linux" / "ascend_toolkit_install.info"
    info.parent.mkdir(parents=True)
    info.write_text("package_name=Ascend-cann-toolkit\nversion=8.1.RC1.alpha001\ninnerversion=V100R001C21B071\n")
    basic = host.folder / "basic"
    basic.mkdir()
    for name in _NEEDED.split():
        found = shutil.which(name)
        if found is not None:
            os.symlink(found, basic / name)
    return host
