"""What benchmarks print beside each other, and what the page on performance takes from them."""

from __future__ import annotations

from benchmarks.results import Result
from benchmarks.revision import beside

NOW = Result("idle", "An idle hour", ["who", "calls", "units"], [["feed", 2, 10], ["listing", 9, 900]], "units")


def test_figures_stand_beside_those_of_the_same_line_of_another_revision() -> None:
    then = Result("idle", "An idle hour", ["who", "calls", "units"], [["feed", 4, 100]], "units")
    compared = beside(NOW, [then], "v1")
    assert compared.columns == ["who", "figure", "now", "v1", "now / then"]
    assert compared.rows == [["feed", "calls", 2, 4, 0.5], ["feed", "units", 10, 100, 0.1]]


def test_what_another_revision_can_not_tell_is_said_with_the_reason() -> None:
    assert beside(NOW, "ImportError: no such thing", "v1").rows == [["ImportError: no such thing"]]
    assert beside(NOW, [], "v1").columns == ["not measured"]
