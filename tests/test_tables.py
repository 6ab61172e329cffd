"""Tables: aligned text, accessible HTML, and no trust in what a cell holds."""
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from pvlab.tables import UNPUBLISHED, Table

HOSTILE = "<script>alert('x')</script>\x1b[2J\x00\r\n\u202eevil\u202c \ud800 & \"q\""


class Tags(HTMLParser):
    """The tags of a document, in order, and whether each is closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("br", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_text_is_aligned_with_numbers_to_the_right():
    table = Table(["reason", "count", "share"], [["cli", 1_000_000, 0.5], ["page-fault:guest", 7, None]], "Exits")
    assert table.text() == ("Exits\n"
                            "reason                count  share\n"
                            "----------------  ---------  -----\n"
                            "cli               1,000,000   0.50\n"
                            "page-fault:guest          7")


def test_gaps_do_not_make_words_of_a_column_of_numbers():
    lines = Table(["", "cycles"], [["a", 1], ["b", UNPUBLISHED], ["c", 1000]]).text().splitlines()
    assert [len(line) for line in lines[2:]] == [len("a  not published")] * 3


def test_numbers_among_words_line_up_with_each_other():
    table = Table(["", ""], [["outcome", "shutdown"], ["exits", 5], ["instructions", 1234]])
    assert table.text() == "outcome       shutdown\nexits             5\ninstructions  1,234"
    assert "\u2007\u2007\u20085" not in table.html() and "\u2007\u2008\u2007\u20075</td>" in table.html()


def test_no_line_ends_in_a_space_and_the_note_is_wrapped():
    text = Table(["a", "b"], [["x", ""], ["", "y"]], "caption", note="word " * 60).text()
    assert all(line == line.rstrip() for line in text.splitlines())
    assert max(map(len, text.splitlines())) <= 100


def test_wide_characters_take_two_columns():
    lines = Table(["a", "b"], [["漢字", "x"], ["abcd", "x"], ["e\u0301abc", "x"]]).text().splitlines()
    assert lines[2] == "漢字  x" and lines[3] == "abcd  x" and lines[4] == "e\u0301abc  x"


@pytest.mark.parametrize("place", ["header", "cell", "caption", "note"])
def test_hostile_text_is_shown_and_not_obeyed(place):
    text = {name: HOSTILE if name == place else "ok" for name in ("header", "cell", "caption", "note")}
    table = Table([text["header"]], [[text["cell"]]], text["caption"], text["note"])
    shown = table.text()
    assert all(c.isprintable() or c == "\n" for c in shown)
    for escape in ("\\x1b[2J", "\\x00", "\\r\\n", "\\u202e", "\\ud800"):
        assert escape in shown.replace("\n", "")
    tags = Tags(table.html())
    assert {tag for tag, _ in tags.tags} <= {"table", "caption", "thead", "tbody", "tr", "th", "td", "p"}
    assert not tags.open and all(c.isprintable() for c in table.html())
    table.html().encode("utf-8")


def test_html_has_a_caption_and_scopes_and_nothing_that_runs():
    tags = Tags(Table(["reason", "count"], [["  cli", 1]], "Exits").html()).tags
    assert ("caption", {"style": "text-align: left"}) in tags
    assert [attrs["scope"] for tag, attrs in tags if tag == "th"] == ["col", "col", "row"]
    assert all(set(attrs) <= {"style", "scope"} for _, attrs in tags)
    assert "&nbsp;&nbsp;cli" in Table(["", ""], [["  cli", 1]]).html()


def test_a_table_without_headers_has_no_head():
    assert "<thead>" not in Table(["", ""], [["a", "b"]]).html()
    assert "--" not in Table(["", ""], [["a", "b"]]).text()


def test_endless_output_is_cut_and_says_so():
    shown = Table(["", ""], [["output", "x" * 1_000_000]]).text()
    assert len(shown) < 1000 and "and 999,600 more characters" in shown


def test_both_forms_have_the_same_words():
    table = Table(["a", "b"], [["one", 1], ["two", None], ["three", True]], "caption", "note")
    words = re.sub(r"<[^>]+>", " ", table.html()).split()
    assert words == [word for word in table.text().split() if not set(word) == {"-"}]
    assert table.bundle() == {"text/plain": table.text(), "text/html": table.html()}


def test_empty_tables_and_ragged_rows():
    assert Table(["a"], []).text() == "a\n-"
    with pytest.raises(ValueError):
        Table(["a", "b"], [["only one"]])


def test_importing_tables_and_costs_needs_neither_numpy_nor_matplotlib():
    code = ("import sys, pvlab.tables, pvlab.costs, pvlab.experiments.comparison, pvlab.figures.plots, pvlab.widgets\n"
            "bad = {'numpy', 'matplotlib', 'ipywidgets', 'IPython', 'unicorn'} & set(sys.modules)\n"
            "sys.exit(', '.join(sorted(bad)) or 0)")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr == ""
