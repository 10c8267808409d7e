"""The product as users have it: recipe in, bundle out, run on tensors and on prompts, against the goldens."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from exporter.shapes import compiled, coopdraw, folder_size, golden, hashes, write_recipe
from PIL import Image

from coopdraw.exporter.parity import image_psnr, range_error
from coopdraw.graphs.mindir.reader import read_mindir
from coopdraw.graphs.text import format_graph

# The design's limits. float32 sums in another order than PyTorch's differ by about 1e-6 of the range here; a wrong
# schedule, switch or norm is off by more than 1e-2.
LATENT_ERROR, IMAGE_PSNR = 1e-4, 60.0


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes")
    return compiled(write_recipe(folder), folder / "shapes.bundle", "--dump-ir", str(folder / "ir"))


def test_the_whole_loop_matches_the_golden(bundle: Path, tmp_path: Path) -> None:
    inputs, outputs = golden("time_decoupled")
    np.savez(tmp_path / "in.npz", **inputs)
    done = coopdraw("run", bundle, "--inputs", tmp_path / "in.npz", "--outputs", tmp_path / "out.npz")
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "out.npz") as found:
        assert set(found.files) == {"image", "latent"}
        assert range_error(found["latent"], outputs["latent"]) <= LATENT_ERROR
        assert image_psnr(found["image"], outputs["image"]) >= IMAGE_PSNR


def test_the_step_plan_is_the_goldens(bundle: Path) -> None:
    with np.load(Path(__file__).parents[1] / "data" / "time_decoupled.npz") as file:
        experts = file["experts"].tolist()
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert [step["model"] for step in manifest["steps"]] == experts


def test_the_manifest_states_the_verification(bundle: Path) -> None:
    stated = json.loads((bundle / "manifest.json").read_text())["verification"]
    assert stated["passed"] is True
    figures = {check["what"]: check["figure"] for check in stated["checks"]}
    assert set(figures) == {"text encoder", "latent", "image"}
    assert figures["latent"] <= LATENT_ERROR
    assert figures["image"] >= IMAGE_PSNR


def test_verify_works_from_the_bundle_alone_and_from_the_recipe(bundle: Path) -> None:
    alone = coopdraw("verify", bundle, "--json")
    assert alone.returncode == 0, alone.stderr
    assert json.loads(alone.stdout)["passed"] is True
    with_recipe = coopdraw("verify", bundle, "--recipe", bundle.parent / "recipe.toml")
    assert with_recipe.returncode == 0, with_recipe.stderr


def test_compiling_again_elsewhere_gives_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    again = compiled(write_recipe(tmp_path / "elsewhere"), tmp_path / "elsewhere" / "another.name")
    assert hashes(again) == hashes(bundle)


def test_no_machine_path_or_time_is_in_the_bundle(bundle: Path) -> None:
    for path in bundle.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            for secret in (str(bundle.parent).encode(), str(Path.home()).encode() + b"/", b"site-packages"):
                assert secret not in content, path.name


def test_prompts_draw_a_sheet(bundle: Path, tmp_path: Path) -> None:
    prompts = ["red ring striped blue", "blue circle solid red"]
    done = coopdraw("run", bundle, "-o", tmp_path / "sheet.png", *(x for p in prompts for x in ("--prompt", p)))
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width >= 128
        colours = np.asarray(sheet.convert("RGB")).reshape(-1, 3)
    # Pictures of the trained model are colourful; noise or black pictures have no saturated pixels in both colours.
    assert ((colours[:, 0] > 150) & (colours[:, 2] < 110)).any()
    assert ((colours[:, 2] > 150) & (colours[:, 0] < 110)).any()


def test_an_unknown_word_is_named(bundle: Path, tmp_path: Path) -> None:
    done = coopdraw("run", bundle, "--prompt", "redd ring solid blue", "-o", tmp_path / "x.png")
    assert done.returncode == 2
    assert "redd" in done.stderr
    assert "red" in done.stderr
    assert not (tmp_path / "x.png").exists()


def test_wrong_shapes_are_refused_at_run(bundle: Path, tmp_path: Path) -> None:
    inputs, _ = golden("time_decoupled")
    inputs["noise"] = inputs["noise"][:, :, :8]
    np.savez(tmp_path / "in.npz", **inputs)
    done = coopdraw("run", bundle, "--inputs", tmp_path / "in.npz", "--outputs", tmp_path / "out.npz")
    assert done.returncode == 2
    assert "noise" in done.stderr
    assert not (tmp_path / "out.npz").exists()


def test_each_network_is_in_the_file_once(bundle: Path) -> None:
    module = read_mindir(bundle / "sampling.mindir")
    convolutions = {g.name: sum(node.operator == "conv2d" for node in g.nodes) for g in module.graphs()}
    assert convolutions["sampling"] == 0
    assert convolutions["structure.unet"] == convolutions["texture.unet"] > 10
    calls = [str(node.attributes["function"]) for node in module.entry.nodes if node.operator == "call"]
    assert (calls.count("structure.unet"), calls.count("texture.unet"), calls.count("vae.decode")) == (11, 9, 1)


def test_the_timestep_embedding_is_folded_to_constants(bundle: Path) -> None:
    module = read_mindir(bundle / "sampling.mindir")
    assert not [name for name in module.weights if "time_embed" in name]
    assert not [node for graph in module.graphs() for node in graph.nodes if node.operator in ("sin", "cos")]


def test_fifty_steps_cost_little_more_than_ten(tmp_path: Path) -> None:
    sizes = {}
    for steps in (10, 50):
        recipe = write_recipe(tmp_path / str(steps), lambda text, n=steps: text.replace("steps = 20", f"steps = {n}"))
        sizes[steps] = folder_size(compiled(recipe, tmp_path / f"{steps}.bundle", "--no-verify"))
    assert sizes[50] <= 1.3 * sizes[10]


def test_a_missed_limit_fails_the_build(tmp_path: Path) -> None:
    def strict(text: str) -> str:
        # No float32 graph reproduces a float64 update to 1e-12 of the range.
        return text.replace("latent_error = 1e-4", "latent_error = 1e-12").replace("steps = 20", "steps = 2")

    done = coopdraw("compile", write_recipe(tmp_path, strict), "-o", tmp_path / "x.bundle")
    assert done.returncode == 1
    assert "latent" in done.stderr
    assert "MISSED" in done.stderr
    assert not (tmp_path / "x.bundle").exists()


def test_other_branches_batches_and_switches_match_the_host_loop(tmp_path: Path) -> None:
    def change(text: str) -> str:
        text = text.replace("guidance = { text = 5.0 }", "guidance = { text = 4.0, style = 1.5 }")
        text = text.replace("batch = 1", "batch = 2").replace('switch = "previous"', 'switch = "current"')
        return text.replace("steps = 20", "steps = 4").replace("[64, 64]", "[32, 64]")

    bundle = compiled(write_recipe(tmp_path, change), tmp_path / "x.bundle")
    manifest = json.loads((bundle / "manifest.json").read_text())
    names = [spec["name"] for spec in manifest["inputs"]]
    assert names == ["noise"] + [f"{kind}.{b}" for b in ("uncond", "text", "style") for kind in ("context", "vector")]
    assert manifest["inputs"][0]["shape"] == [2, 4, 8, 16]
    assert [step["model"] for step in manifest["steps"]] == ["structure", "structure", "texture", "texture"]


def test_without_guidance_there_is_one_branch(tmp_path: Path) -> None:
    def change(text: str) -> str:
        return text.replace("text = 5.0", "text = 1.0").replace("steps = 20", "steps = 3")

    bundle = compiled(write_recipe(tmp_path, change), tmp_path / "x.bundle")
    names = [spec["name"] for spec in json.loads((bundle / "manifest.json").read_text())["inputs"]]
    assert names == ["noise", "context.text", "vector.text"]


def test_the_ir_dump_has_every_pass_that_changed_something(bundle: Path) -> None:
    dumps = sorted(path.name for path in (bundle.parent / "ir").iterdir())
    assert dumps[0] == "00-input.txt"
    assert any(re.fullmatch(r"\d\d-fold-constant-arguments\.txt", name) for name in dumps)


def test_an_expert_that_never_runs_is_left_out_and_verify_needs_no_recipe(tmp_path: Path) -> None:
    def change(text: str) -> str:
        return text.replace("t_struct = 500", "t_struct = 0").replace("steps = 20", "steps = 2")

    bundle = compiled(write_recipe(tmp_path, change), tmp_path / "x.bundle")
    assert "texture" not in json.loads((bundle / "manifest.json").read_text())["models"]
    alone = coopdraw("verify", bundle)
    assert alone.returncode == 0, alone.stderr


def test_verify_refuses_the_recipe_of_another_pipeline(bundle: Path, tmp_path: Path) -> None:
    other = write_recipe(tmp_path, lambda text: text.replace("text = 5.0", "text = 5.0, style = 1.0"))
    done = coopdraw("verify", bundle, "--recipe", other)
    assert done.returncode == 2
    assert "pipeline.guidance" in done.stderr


def test_function_hashes_can_be_computed_again(bundle: Path) -> None:
    module = read_mindir(bundle / "sampling.mindir")
    stated = {f["name"]: f["sha256"] for f in json.loads((bundle / "manifest.json").read_text())["functions"]}
    assert stated == {
        name: hashlib.sha256(format_graph(graph).encode()).hexdigest() for name, graph in module.functions.items()
    }


def test_output_folders_that_do_not_exist_are_refused_at_once(bundle: Path, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    for arguments in (
        ("run", bundle, "--prompt", "red ring", "-o", nowhere / "x.png"),
        ("compile", bundle.parent / "recipe.toml", "-o", tmp_path / "x.bundle", "--report", nowhere / "report.json"),
    ):
        done = coopdraw(*arguments)
        assert done.returncode == 2
        assert "not a folder" in done.stderr
    assert not (tmp_path / "x.bundle").exists()
