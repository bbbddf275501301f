"""The page says what was found, needs no network, and fits a phone and a desk."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest

from tflite_odl.contract import TensorSpec
from tflite_odl.desk import profiles
from tflite_odl.desk.report import charts, findings, page, pictures
from tflite_odl.desk.report.findings import Findings
from tflite_odl.desk.report.verdicts import NO, UNKNOWN, YES, verdicts

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARTIFACT = {
    "name": "<signs>",
    "id": "0" * 64,
    "method": "skip",
    "quantization": "float32",
    "model_bytes": 483504,
    "state_bytes": 309780,
    "batch_size": 16,
    "flex_ops": 0,
    "oldest_runtime": "2.3.0",
    "memory": {"train": {"weights": 3e5, "activations": 8e6, "total": 8.3e6}},
}
DIFFERENCE = {
    "signature": "train",
    "tensor": "kernel",
    "error": 1e-7,
    "allowed": 1e-6,
    "call": 3,
    "loose": False,
}
UPDATE = {
    "taken": ["kernel", "bias"],
    "kept": [],
    "differing": [],
    "before": {"accuracy": 0.9},
    "adopted": {"accuracy": 0.9},
}
PLACE = {"place": "ARM64 (a76)", "passed": True, "problem": "", "drift": 1e-7}
COUNT = {
    "signature": "train",
    "core": "a55",
    "instructions": 29.3,
    "bound": 18.1,
    "estimate": 21.3,
    "read": 1.0,
    "written": 1.0,
    "kinds": {"matrix products": 20.1, "copies": 9.2},
}

COMPARED = {
    "batches": 3,
    "first": 1e-7,
    "worst": 2e-7,
    "decisions": 1.0,
    "host_ms": 2.0,
    "phone_ms": 9.0,
    "agrees": True,
}
PHONE = {
    "device": {"model": "Acme <9>", "abis": ["arm64-v8a"], "api": 34, "battery": None},
    "reasons": ["signs fits: a step takes 8.0 MB, it keeps 1.4 MB"],
    "engine": "TFLite 2.16.1",
    "goldens": {"passed": 43, "all": 43},
    "before": {"accuracy": 0.1},
    "after": {"accuracy": 0.9},
    "compared": COMPARED,
}


def found(**changed) -> Findings:
    whole = Findings(
        artifact=ARTIFACT,
        device=findings.described(profiles.load("low_end")),
        dataset="digits",
        before={"accuracy": 0.1, "loss": 2.3, "count": 397},
        after={"accuracy": 0.9, "loss": 0.4, "count": 397},
        curves={"accuracy": [[1, 0.1], [2, 0.5], [3, 0.9]], "loss": [[1, 2.0], [3, 1]]},
        faults=[{"kind": "kill", "batch": 2}],
        stream={"lost": 50, "duplicated": 0, "corrupted": 3},
        equal=True,
        calls={"train": dict(calls=3, first_ms=9, p50_ms=2, p90_ms=3, p99_ms=4)},
        memory={"limit_mb": 96.0, "used_mb": 11.0, "mechanism": "cgroup v2"},
        storage={"kept_bytes": 1.4e6, "written_bytes": 1e6, "bytes_per_hour": 7e7},
        parity=[{**PLACE, "worst": DIFFERENCE, "differences": [DIFFERENCE]}],
        counts=[COUNT],
        goldens={"passed": 43, "all": 43},
        phone=PHONE,
        update=UPDATE,
    )
    return dataclasses.replace(whole, **changed)


def answer(question: str, **changed) -> str:
    (verdict,) = [v for v in verdicts(found(**changed)) if question in v.question]
    assert verdict.reason
    return verdict.answer


@pytest.mark.parametrize(
    "changed, expected",
    [
        ({"compared": {**COMPARED, "agrees": False}}, NO),
        ({"goldens": {"passed": 42, "all": 43}}, NO),
        ({"goldens": None}, NO),
        ({"compared": {**COMPARED, "first": None, "worst": None}}, YES),
    ],
)
def test_a_phone_that_differs(changed, expected):
    assert answer("real phone", phone={**PHONE, **changed}) == expected
    assert answer("real phone", phone={}) == UNKNOWN


def test_the_phones_column():
    text = page.page(found())
    assert '<th class="number">this desk</th>' in text and "Acme &lt;9&gt;" in text
    assert "accuracy on held-out rows, after" in text and "fits: a step" in text
    assert "On the phone" not in page.page(found(phone={}))


def test_all_is_well():
    assert {v.answer for v in verdicts(found())} == {YES}


@pytest.mark.parametrize(
    ("question", "changed"),
    [
        ("Does it learn", {"after": {"accuracy": 0.05}}),
        (
            "Does it learn",
            {"before": {"absolute_error": 1.0}, "after": {"absolute_error": 2.0}},
        ),
        ("stock runtime", {"artifact": {**ARTIFACT, "flex_ops": 2}}),
        ("when it was proven", {"goldens": {"passed": 42, "all": 43}}),
        ("agree", {"parity": [{**PLACE, "passed": False, "worst": DIFFERENCE}]}),
        ("memory", {"memory": {"limit_mb": 8, "used_mb": 9, "mechanism": "polling"}}),
        ("storage", {"storage": {"kept_bytes": 1e9, "bytes_per_hour": 0}}),
        ("in time", {"counts": [{**COUNT, "estimate": 1e4}]}),
        ("survive", {"equal": False}),
        ("update", {"update": {**UPDATE, "adopted": {"accuracy": 0.5}}}),
        ("update", {"update": {**UPDATE, "before": {}, "kept": ["head"]}}),
    ],
)
def test_what_is_wrong_is_told(question, changed):
    assert answer(question, **changed) == NO


@pytest.mark.parametrize(
    ("question", "changed"),
    [
        ("Does it learn", {"before": {}, "after": {}}),
        ("when it was proven", {"goldens": {}}),
        ("agree", {"parity": []}),
        ("memory", {"memory": {}}),
        ("storage", {"device": {}}),
        ("in time", {"counts": []}),
        ("survive", {"equal": None}),
        ("update", {"update": {}}),
    ],
)
def test_what_nobody_ran_is_not_known(question, changed):
    assert answer(question, **changed) == UNKNOWN


class Links(HTMLParser):
    """Collects everything that a page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        about = dict(attributes)
        links = [about.get("src"), about.get("href")]
        self.found += [link for link in links if link and not link.startswith("data:")]
        if tag == "script":
            self.found.append(tag)


def test_the_page_needs_nothing_else_and_its_words_are_escaped():
    text = page.page(found())
    links = Links()
    links.feed(text)
    assert links.found == [] and "url(" not in text and "@import" not in text
    assert "&lt;signs&gt;" in text and "<signs>" not in text
    for told in ("10.1%", "43 of 43", "29.3", "kill at batch 2", "cgroup v2", "copies"):
        assert (told in text) == (told != "10.1%")


def test_a_page_of_little_can_be_made():
    bare = found(device={}, curves={}, faults=[], calls={}, memory={}, parity=[])
    text = page.page(dataclasses.replace(bare, counts=[], goldens={}, storage={}))
    assert "Ready to ship?" in text and "The emulated phone" not in text


def test_findings_are_json():
    told = json.dumps(dataclasses.asdict(found()))
    assert Findings(**json.loads(told)).artifact == ARTIFACT


def test_curves_are_of_each_metric_and_short():
    records = [
        {"batch": n + 1, "correct": n % 2, "count": 1, "loss": float(n), "ms": 1.0}
        for n in range(1000)
    ]
    told = findings.curves(records)
    assert set(told) == {"accuracy", "loss"}
    assert len(told["loss"]) <= findings.POINTS
    assert told["loss"][-1][0] == 1000 and told["loss"][0] == [5, 2.0]
    # Of five batches each two or three are right.
    assert {value for _, value in told["accuracy"]} <= {0.4, 0.6}


def test_a_chart_puts_its_points_where_they_belong():
    text = charts.line([(0, 0.0), (10, 1.0)], "a < b", {5: "kill"})
    path = re.search(r'points="([^"]+)"', text)[1]
    (x0, y0), (x1, y1) = (map(float, p.split(",")) for p in path.split())
    assert (x0, y1) == (charts.LEFT, charts.TOP)
    assert (x1, y0) == (charts.WIDTH - charts.RIGHT, charts.HEIGHT - charts.BOTTOM)
    assert "a &lt; b" in text and "<title>kill</title>" in text
    charts.line([(1, 2.0)], "one point")


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt install chromium")
@pytest.mark.parametrize("width", [360, 1280])
def test_a_browser_draws_it_whole(tmp_path, width):
    # What a browser says of itself: errors, how wide the page became, charts drawn.
    probe = (
        "<script>const told=[];onerror=e=>told.push(e);onload=()=>{const s=["
        "...document.querySelectorAll('svg')].filter(e=>e.getBoundingClientRect()"
        ".height>20&&e.getBBox().width>100).length;document.title=JSON.stringify("
        "{errors:told,wide:document.documentElement.scrollWidth,charts:s})}</script>"
    )
    path = tmp_path / "report.html"
    path.write_text(page.page(found()).replace("<title>", probe + "<title>", 1))
    command = [
        *(CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu"),
        *(f"--window-size={width},2000", "--virtual-time-budget=2000", "--dump-dom"),
        *(f"--user-data-dir={tmp_path / 'profile'}", path.as_uri()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    title = re.search(r"<title>(\{.*?\})</title>", done.stdout)
    assert title, done.stderr[-400:]
    told = json.loads(title[1].replace("&quot;", '"'))
    assert told["errors"] == [] and "CONSOLE" not in done.stderr
    # Chromium's own least width of a window is 500; the page must not be wider.
    assert told["wide"] <= max(width, 500)
    assert told["charts"] == 4


def test_images_of_a_buffer_are_shown_as_they_are():
    import tensorflow as tf  # reads PNG; the other tests here need none of it

    rng = np.random.default_rng(0)
    items = rng.integers(1, 256, (20, 4, 5, 3)).astype(np.uint8)
    items[7] = 0  # never filled
    specs = [
        TensorSpec("items", "uint8", items.shape, "buffer"),
        TensorSpec("uses", "int32", (20,), "buffer"),
        TensorSpec("image", "uint8", (1, 4, 5, 3), "weight"),
    ]
    state = {"items": items, "uses": np.ones(20, np.int32), "image": items[:1]}
    shown = pictures.strips(state, specs)
    assert list(shown) == ["items"]
    kind, _, content = shown["items"].partition(",")
    assert kind == "data:image/png;base64"
    strip = tf.io.decode_png(base64.b64decode(content)).numpy()
    assert strip.shape == (2 * 4, 16 * 5, 3)
    np.testing.assert_array_equal(strip[:4, :5], items[0])
    np.testing.assert_array_equal(strip[:4, 7 * 5 : 8 * 5], items[8])
    np.testing.assert_array_equal(strip[4:, 2 * 5 : 3 * 5], items[19])
    assert 'class="strip"' in page.page(found(pictures=shown))


def test_buffers_are_in_no_report_unless_asked_for():
    assert "strip" not in page.page(found()).split("</style>")[1]
