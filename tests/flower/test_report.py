from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from report_cases import CASES, HOSTILE, failing, made, many, recorded, silent

from syft_flwr.errors import ConfigurationError
from syft_flwr.flower.report import render_report, report_of
from syft_flwr.flower.report.charts import line_chart
from syft_flwr.flower.report.figures import Scale, bytes_text, float_text, number, seconds_text, value_text
from syft_flwr.flower.report.markup import tag, to_html
from syft_flwr.flower.report.record import Record, Task, clock_offset
from syft_flwr.flower.report.timeline import panels, rows, short_names
from syft_flwr.printable import printable

VOID = {"br", "link", "meta", "wbr"}
LOADS = {"action", "background", "data", "formaction", "href", "poster", "src", "srcset", "style", "xlink:href"}
finite = st.floats(-1e300, 1e300)


class Page(HTMLParser):
    """A page taken apart: its elements, its texts, and whether every element is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute twice in {tag}"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def named(self, name: str, **attributes: str) -> list[dict[str, str | None]]:
        wanted = {key.rstrip("_"): value for key, value in attributes.items()}
        return [found for tag, found in self.elements if tag == name and wanted.items() <= found.items()]

    @property
    def text(self) -> str:
        return "\n".join(text.strip() for text in self.texts if text.strip())


def task(sent: float, received: float, owner: str = "do@x.org", **times: float) -> Task:
    return Task(owner, "train", "1", 10, "", sent, received, **times)


@pytest.mark.parametrize("case", CASES)
def test_every_page_is_sound_html_that_loads_and_runs_nothing(case: str) -> None:
    text = render_report(CASES[case]())
    page = Page(text)
    text.encode()
    assert {"script", "img", "iframe", "object", "embed", "form", "base", "a", "use", "image"}.isdisjoint(
        name for name, _ in page.elements
    )
    for name, attributes in page.elements:
        assert not any(key.startswith("on") for key in attributes), name
        assert {key: attributes[key] for key in attributes.keys() & LOADS} in ({}, {"href": "data:,"})
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert "url(" not in style
    assert "@import" not in style
    (policy,) = page.named("meta", **{"http-equiv": "Content-Security-Policy"})
    assert (policy["content"] or "").startswith("default-src 'none'")


@pytest.mark.parametrize("case", CASES)
def test_every_coordinate_lies_in_its_drawing(case: str) -> None:
    width = height = 0.0
    for name, attributes in Page(render_report(CASES[case]())).elements:
        if name == "svg":
            _, _, width, height = map(float, (attributes.get("viewbox") or "0 0 100 100").split())
        places = {key: float(value) for key, value in attributes.items() if key in ("x", "x1", "x2", "cx", "y", "cy")}
        for key, place in places.items():
            assert 0 <= place <= (width if "x" in key else height), (case, name, attributes)
        if name == "rect" and "x" in attributes:
            assert places["x"] + float(attributes["width"] or 0) <= width
            assert float(attributes["width"] or 0) >= 0
            assert float(attributes["height"] or 0) >= 0


def test_names_from_projects_and_peers_stay_text() -> None:
    page = Page(render_report(CASES["hostile"]()))
    shown = printable(HOSTILE)
    assert f"{shown}owner-01@hospital.example.org" in page.text  # lanes, tables
    assert page.text.count(shown) > 20


def test_the_recorded_run_is_told_figure_by_figure() -> None:
    page = Page(render_report(recorded()))
    for told in ("digits", "complete", "1.3137", "0.9132", "21.3 s", "163 kB", "30,910", "12,800", "changes."):
        assert told in page.texts, told
    assert len(page.named("svg", class_="line train")) == 1
    assert len(page.named("svg", class_="line evaluate")) == 2
    assert [text for text in page.texts if re.fullmatch(r"round \d", text)] == [
        *("round 1", "round 1", "round 2", "round 2", "round 3", "round 3"),  # each with its tooltip
    ]
    assert len(page.named("rect", class_="work train")) - 1 == 9  # three owners, three rounds; one in the legend
    assert len(page.named("rect", class_="work evaluate")) - 1 == 9
    assert "Errors" not in page.texts


def test_what_was_saved_and_what_a_day_comes_to_stand_beside_the_bill() -> None:
    result = recorded()
    row = next(iter(result["bill"].values()))
    row |= {
        "saved": 9_500,
        "a_day": 4_000_000,
        "savings": {
            "shared objects": {"times": 7, "units": 0, "bytes": 39_000},
            "kept objects": {"times": 3, "units": 600, "bytes": 12_000},
        },
    }
    page = render_report(result)
    assert "Peeks and inlined bodies saved 9,500 more, shared objects 39" in page
    assert "of uploads, kept objects 12" in page
    assert "A day of such runs comes to 4,000,000 units, 1 % of what is free." in page


def test_errors_are_marked_and_told() -> None:
    page = Page(render_report(failing()))
    assert "failed" in page.texts
    assert "no data owner could do 'evaluate'. The owners' logs have the tracebacks" in page.texts
    errors = sum(bool(row["error"]) for row in failing()["timeline"])
    assert len(page.named("path", class_="error")) - 1 == errors
    assert "round 4, round 5" in page.texts  # one row for what happened in both
    assert "ZeroDivisionError: division by zero" in page.texts  # the traceback's last line; the rest on request
    assert len(page.named("details")) == 2
    assert len(page.named("rect", class_="silent")) - 1 == 4
    assert any("owner-02@hospital.example.org (90." in text and "ahead" in text for text in page.texts)


def test_values_that_are_not_finite_are_named_and_leave_a_gap() -> None:
    page = Page(render_report(failing()))
    assert "Can't be drawn: the values of rounds 2, 4." in page.texts
    assert {"NaN", "∞", "[[12, 3], [4, 9]]", "resampled", "True"} <= set(page.texts)
    (trace, *_) = page.named("path", class_="trace")
    assert [part[0] for part in re.findall(r"[ML][^ML]+", trace["d"] or "")] == ["M", "M", "M", "L"]  # 1; 3; 5 to 6


def test_a_run_that_came_to_nothing_has_a_page_too() -> None:
    page = Page(render_report(silent()))
    assert "only 0 of 2 data owners came within 30 s" in page.texts
    assert {"wall time", "duration", "quota units"}.isdisjoint(page.texts)  # unknown, not 0
    assert {"The app reported no metrics.", "No data owner answered a message.", "No message was sent."} <= set(
        page.texts
    )


def test_a_long_run_is_cut_into_panels_that_show_every_task() -> None:
    record = Record.of(many())
    cut = panels(record)
    assert [len(panel.marks) for panel in cut] == [10] * 5
    shown = [task for panel in cut for lane in panel.lanes.values() for row in lane for task in row]
    assert sorted(shown, key=repr) == sorted(record.tasks, key=repr)
    assert all(list(panel.lanes) == record.owners for panel in cut)
    assert len(panels(Record.of(made(owners=1, rounds=400)))) == 10


def test_tasks_that_overlap_get_rows_of_their_own() -> None:
    first, second, third = task(0, 5), task(1, 2), task(2, 9)
    assert rows([first, second, third]) == [[first], [second, third]]


def test_rounds_are_in_the_order_of_their_numbers() -> None:
    result = made(rounds=12)
    result["traffic"]["warm-up"] = result["traffic"]["1"]
    assert [row.name for row in Record.of(result).rounds] == [*map(str, range(1, 13)), "warm-up"]


def test_the_steps_of_a_task_fill_the_time_from_sending_to_receiving() -> None:
    told = task(0, 10, seen=2, started=3, finished=8)
    assert [tuple(span) for span in told.spans] == [
        ("outbound", 0, 2),
        ("queued", 2, 3),
        ("work", 3, 8),
        ("reply", 8, 10),
    ]
    assert [span.step for span in task(0, 10).spans] == ["silent"]
    assert [span.step for span in task(0, 10, seen=4).spans] == ["outbound", "reply"]


@given(st.lists(finite | st.none(), min_size=3, max_size=3))
def test_whatever_times_an_owner_tells_the_steps_follow_one_another(times: list[float | None]) -> None:
    seen, started, finished = times
    spans = task(0, 10, seen=seen, started=started, finished=finished).spans
    moments = [moment for span in spans for moment in (span.start, span.end)]
    assert moments == sorted(moments)
    assert (moments[0], moments[-1]) == (0, 10)


@given(st.floats(-1e5, 1e5))
def test_a_clock_that_is_wrong_is_set_right_so_that_nothing_is_seen_before_it_was_sent(ahead: float) -> None:
    tasks = [
        task(at, at + 10, seen=at + 2 + ahead, started=at + 2 + ahead, finished=at + 9 + ahead) for at in (0, 20, 40)
    ]
    offset = clock_offset(tasks)
    if -1.999 < ahead < 0.999:  # the ways there and back, 2 s and 1 s, could be as much
        assert offset == 0
    elif not -2.001 < ahead < 1.001:
        assert math.isclose(offset, ahead + 0.5, abs_tol=1e-6)


def test_a_clock_that_may_be_right_is_left_alone() -> None:
    assert clock_offset([task(0, 10, seen=1, started=1, finished=9.5)]) == 0
    assert clock_offset([task(0, 10)]) == 0


@example(0.0, 6.49205674325504e-306, 1)
@given(finite, finite, st.integers(1, 10))
def test_a_nice_scale_holds_every_value_and_rises(one: float, other: float, count: int) -> None:
    low, high = sorted((one, other))
    scale = Scale.nice(low, high, 0.0, 100.0, count=count)
    slack = scale.step * 1e-9
    assert scale.low - slack <= low <= high <= scale.high + slack
    assert list(scale.ticks) == sorted(set(scale.ticks))
    assert -1e-6 <= scale(low) <= scale(high) <= 100 + 1e-6
    assert len(scale.ticks) <= 2 * count + 3
    assert len({scale.label(tick) for tick in scale.ticks}) == len(scale.ticks)


def test_ticks_are_round_and_labels_have_the_digits_they_need() -> None:
    def labels(scale: Scale) -> list[str]:
        return [scale.label(tick) for tick in scale.ticks]

    assert labels(Scale.nice(0.776, 0.913, 0, 1)) == ["0.75", "0.80", "0.85", "0.90", "0.95"]
    assert labels(Scale.nice(0.1, 0.98, 0, 1, count=4)) == ["0.00", "0.25", "0.50", "0.75", "1.00"]
    assert labels(Scale.nice(0, 35_055, 0, 1, count=4)) == ["0", "10,000", "20,000", "30,000", "40,000"]
    assert labels(Scale.exact(1, 3, 0, 1, whole=True)) == ["1", "2", "3"]
    assert labels(Scale.exact(1, 1, 0, 1, whole=True)) == ["1"]
    assert labels(Scale.exact(1, 50, 0, 1, whole=True)) == ["10", "20", "30", "40", "50"]


def test_a_chart_of_nothing_finite_is_no_chart() -> None:
    def draw(series: dict[int, Any]) -> bool:
        return line_chart(series, 1, 3, color="train", label="loss") is not None

    assert not any(
        map(draw, ({}, {1: None}, {1: math.nan, 2: math.inf}, {1: "0.5"}, {1: True}, {1: 10**400}, {1: 1.7e308}))
    )
    assert draw({2: 0.5})


def test_figures_are_written_as_people_read_them() -> None:
    assert [bytes_text(n) for n in (0, 999, 1000, 35_055, 999_600, 2e6, 123_456_789)] == [
        "0 B", "999 B", "1 kB", "35.1 kB", "1 MB", "2 MB", "123 MB",
    ]  # fmt: skip
    assert [seconds_text(s) for s in (0.004, 1.5, 21.32, 1800, 43_200)] == [
        "0.00 s", "1.50 s", "21.3 s", "30 min", "12 h 0 min",
    ]  # fmt: skip
    assert [float_text(v) for v in (0.0, 0.91321, 1e-9, 1e300, math.nan, -math.inf)] == [
        "0.0000", "0.9132", "1e-09", "1e+300", "NaN", "-∞",
    ]  # fmt: skip
    assert value_text(["a", 1.5, None]) == "[a, 1.5000, \u2013]"
    assert len(value_text("x" * 500)) == 60
    assert number(3) == 3.0


def test_owners_are_called_by_the_shortest_name_that_tells_them_apart() -> None:
    assert short_names(["a@x.org"], 24) == {"a@x.org": "a@x.org"}
    assert set(short_names(["ann@a-long-hospital.org", "bob@a-long-hospital.org"], 12).values()) == {"ann", "bob"}
    assert short_names(["ann@hospital-one.org", "ann@hospital-two.org"], 13)["ann@hospital-one.org"] == "ann@ho…ne.org"


def test_markup_escapes_text_and_attributes_and_keeps_their_order() -> None:
    made = tag(
        "p", "a<b", tag("i", "&"), "c\x01", tag("b"), class_='"><script>', aria_label="x", width=1.25, hidden=None
    )
    assert to_html(made) == (
        '<div><p class="&quot;&gt;<script&gt;" aria-label="x" width="1.2">a&lt;b<i>&amp;</i>c\\x01<b></b></p></div>'
    )


def saving(directory: Path, result: dict[str, Any], error: Exception | None = None) -> Callable[[], None]:
    def run() -> None:
        (directory / "result.json").write_text(json.dumps(result))
        if error is not None:
            raise error

    return run


def test_the_report_of_a_run_is_written_when_it_is_over(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.html"
    with report_of(tmp_path, path):
        saving(tmp_path, recorded())()
        assert not path.exists()
    assert "digits" in Page(path.read_text()).texts


def test_a_run_that_fails_gets_its_report_and_keeps_its_error(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    with pytest.raises(ZeroDivisionError), report_of(tmp_path, path):
        saving(tmp_path, failing(), ZeroDivisionError())()
    assert "failed" in Page(path.read_text()).texts


def test_a_run_that_fails_early_gets_no_report_of_the_run_before(tmp_path: Path) -> None:
    saving(tmp_path, recorded())()
    with pytest.raises(ZeroDivisionError), report_of(tmp_path, tmp_path / "report.html"):
        raise ZeroDivisionError
    assert not (tmp_path / "report.html").exists()


def test_a_report_that_cannot_be_written_is_an_error_that_names_the_result(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(ConfigurationError, match=r"result\.json"),
        report_of(tmp_path, tmp_path / "file" / "report.html"),
    ):
        saving(tmp_path, recorded())()


def test_a_report_that_cannot_be_written_does_not_hide_why_the_run_failed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ZeroDivisionError), report_of(tmp_path, tmp_path / "file" / "report.html"):
        saving(tmp_path, recorded(), ZeroDivisionError())()
    assert "the report can't be written" in caplog.text
