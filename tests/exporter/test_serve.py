"""`coopdraw serve`: a line in, a picture and a line out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from runtime.tiny_bundle import write_bundle

from coopdraw.exporter.cli.app import app
from coopdraw.exporter.cli.request_lines import Cancel, Draw, read_line
from coopdraw.runtime.bundle import Bundle
from coopdraw.runtime.errors import InputError
from coopdraw.runtime.image import to_pictures
from coopdraw.runtime.prompt import draw_pictures
from coopdraw.runtime.session import Session


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("serve") / "tiny.bundle")


def serve(bundle: Path, *lines: Any) -> dict[str, dict[str, str]]:
    """Answers by id; a line that is no string is written as JSON."""
    text = "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)
    done = CliRunner().invoke(app, ["serve", str(bundle)], input=text)
    assert done.exit_code == 0, done.output
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len({answer["id"] for answer in answers}) == len(answers), "one answer a request"
    return {answer["id"]: answer for answer in answers}


def test_pictures_are_those_of_run(bundle: Path, tmp_path: Path) -> None:
    requests = [
        {"id": name, "prompt": prompt, "seed": seed, "output": str(tmp_path / f"{name}.png")}
        for name, prompt, seed in (("a", "red ring", 3), ("b", "blue", 9), ("c", "red", 0))
    ]
    answers = serve(bundle, *requests)
    with Session(Bundle.open(bundle)) as session:
        for request in requests:
            path = str(request["output"])
            assert answers[str(request["id"])] == {"id": request["id"], "wrote": path}
            alone = to_pictures(draw_pictures(session, [str(request["prompt"])], int(str(request["seed"]))))[0]
            np.testing.assert_array_equal(np.asarray(Image.open(path)), np.asarray(alone))


def test_requests_that_cannot_be_served_leave_the_others_alone(bundle: Path, tmp_path: Path) -> None:
    good = {"prompt": "red", "output": str(tmp_path / "good.png")}
    answers = serve(
        bundle,
        "not json",
        [1],
        {"prompt": "red"},
        {"id": "word", "prompt": "violet", "output": str(tmp_path / "x.png")},
        {"id": "folder", "prompt": "red", "output": str(tmp_path / "none" / "x.png")},
        {"id": "kind", "prompt": "red", "output": str(tmp_path / "x.jpg")},
        {"id": "late", "prompt": "red", "output": str(tmp_path / "x.png"), "timeout": 1e-9},
        {"cancel": "nobody"},
        {"id": 9, **good},
    )
    for id, message in {
        "1": "not valid JSON",
        "2": "no JSON object",
        "3": "output: Field required",
        "word": "violet",
        "folder": "No such file",
        "kind": "must end with .png",
        "late": "in its time",
        "nobody": "not waiting",
    }.items():
        assert message in answers[id]["error"], id
    assert answers["9"]["wrote"] == good["output"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["good.png"]


def test_lines() -> None:
    assert read_line('{"cancel": 3}', 1) == Cancel(cancel="3")
    drawn = read_line('{"prompt": "say \\"cancel\\"", "output": "a.png"}', 4)
    assert isinstance(drawn, Draw)
    assert (drawn.id, drawn.prompt) == ("4", 'say "cancel"')
    for line in (
        "",
        "{",
        '{"prompt": "a", "output": "a.png", "steps": 3}',
        '{"prompt": "a", "output": "a.png", "seed": -1}',
    ):
        with pytest.raises(InputError, match="line 2"):
            read_line(line, 2)


def test_pictures_go_to_their_inputs(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4, 3), 255, np.uint8)).save(tmp_path / "white.png")
    line = json.dumps({"prompt": "a", "output": "a.png", "images": {"edges": str(tmp_path / "white.png")}})
    drawn = read_line(line, 1)
    assert isinstance(drawn, Draw)
    request = drawn.as_request({"edges.image": (2, 3, 4, 4)})
    np.testing.assert_array_equal(request.images["edges.image"], np.ones((3, 4, 4), np.float32))
    with pytest.raises(InputError, match="no input"):
        drawn.as_request({"noise": (2, 3, 4, 4)})
