"""The page's live check, before a camera that shows a drawn person who does, or does not do, as asked."""

from __future__ import annotations

import base64
import math
from dataclasses import replace

import pytest
from page_tools import sign_in

pytest_plugins = ["page_fixtures"]
pytestmark = pytest.mark.slow  # half a minute of moving as asked; what is judged is tested over HTTP

FILM = """(pictures) => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [480, 480];
    const context = canvas.getContext("2d");
    const images = {};
    for (const [name, url] of Object.entries(pictures)) (images[name] = new Image()).src = url;
    window.wrong = false;
    const draw = () => {
        let asked = document.querySelector(".prompt")?.dataset.action ?? "";
        if (window.wrong) asked = { "turn left": "turn right", "turn right": "turn left" }[asked] ?? "";
        context.drawImage(images[asked] ?? images[""], 0, 0, 480, 480);
        for (let i = 0; i < 20; i += 1) {  // no two frames of a camera are the same
            context.fillStyle = `hsl(${360 * Math.random()} 80% ${100 * Math.random()}%)`;
            context.fillRect(8 * i, 0, 8, 8);
        }
    };
    setInterval(draw, 50);
    navigator.mediaDevices.getUserMedia = async () => (window.stream = canvas.captureStream(20));
}"""


@pytest.fixture(scope="module")
def pictures() -> dict[str, str]:
    from facewise.data.synthetic import Person, View
    from facewise.data.synthetic.render import encode, render

    person = Person.draw(9, 3)
    view = replace(
        View.draw(9, 3, 1, size=480), yaw=0.0, pitch=0.0, roll=0.0, glasses="none", cover=0.0, blur=0.0
    )
    doing = {
        "": {},
        "turn left": {"yaw": math.radians(35)},
        "turn right": {"yaw": math.radians(-35)},
        "blink": {"eye_close": 1.0},
        "open mouth": {"mouth_open": 40.0},
    }
    drawn = {name: encode(render(person, replace(view, **how)).image, 90) for name, how in doing.items()}
    return {name: f"data:image/jpeg;base64,{base64.b64encode(data).decode()}" for name, data in drawn.items()}


@pytest.mark.real
def test_with_a_mesh_eyes_and_mouth_are_asked_for_too(
    open_page, start_service, service, pictures, shared, facewise_home
):
    from facewise.models.importing import import_checkpoint

    import_checkpoint(
        shared / "models" / "face_landmarker_v2_with_blendshapes.task", facewise_home / "models"
    )
    meshed = start_service("--mesh")
    page = open_page(None, at=meshed.url)
    sign_in(page, meshed.keys["reader"])
    page.evaluate(FILM, pictures)
    asked: set[str] = set()
    for _ in range(2):
        page.get_by_role("button", name="Live check").click()
        while not page.evaluate("document.querySelector('video')?.videoWidth"):
            page.wait_for_timeout(50)
        page.get_by_role("button", name="Start").click()
        page.get_by_role("dialog").wait_for(state="detached")
        assert page.get_by_role("heading", name="Live check passed").count() == 1, page.inner_text("main")
        told = page.get_by_role("region", name="Result").inner_text()
        asked |= {action for action in pictures if action and action in told}
    assert asked


def test_who_does_as_asked_passes_and_who_does_not_does_not(open_page, service, pictures, tmp_path):
    portrait = tmp_path / "ada.jpg"
    portrait.write_bytes(base64.b64decode(pictures[""].partition(",")[2]))
    service.enrol("Ada", portrait)
    page = open_page("reader")
    page.evaluate(FILM, pictures)
    page.get_by_role("button", name="Live check").click()
    dialog = page.get_by_role("dialog", name="Live check")
    while not page.evaluate("document.querySelector('video')?.videoWidth"):
        page.wait_for_timeout(50)
    dialog.get_by_role("button", name="Start").click()
    page.get_by_role("heading", name="Live check passed").wait_for()
    page.get_by_role("listitem", name="Face 1: Ada").wait_for()
    assert page.evaluate("window.stream.getTracks().every((track) => track.readyState === 'ended')")
    page.evaluate("window.wrong = true")
    page.get_by_role("button", name="Live check").click()
    while not page.evaluate("document.querySelector('video')?.videoWidth"):
        page.wait_for_timeout(50)
    page.get_by_role("button", name="Start").click()
    page.get_by_role("heading", name="Live check not passed").wait_for()
    assert "was asked for, and" in page.get_by_role("region", name="Result").inner_text()
    assert page.get_by_role("listitem", name="Face 1").count() == 0
