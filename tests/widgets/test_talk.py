"""The conversation with CP: as text, with controls, and with what a reader may type."""
from pvlab.widgets.talk import Conversation, conversation

TEXT = """\
A conversation with CP
Run this cell in JupyterLab to move its controls.

Lines typed: 3. The guest asked CP 3 times by DIAGNOSE X'08', and started 6 channel programs to read and print: \
32 exits in all.

What was typed, and the responses
typed          CP responds
-------------  -------------
QUERY USERID    PVLAB
set emsg text   (no response)
HULLO           ?CP: HULLO"""


def test_static_form():
    text = repr(conversation("QUERY USERID", "set emsg text", "HULLO"))
    assert [" ".join(line.split()) for line in text.splitlines()] == [" ".join(line.split()) for line in TEXT.splitlines()]
    assert "Nothing has been typed yet" in repr(conversation())


def test_what_a_reader_may_type():
    talk = conversation("logoff", "  ", "Q T\x1b[31m", "é", "x" * 300)
    assert talk.commands == ["Q T[31m", "x" * 80]
    assert "DMKCQG003E INVALID OPTION - T[31M" in repr(talk)


def test_controls():
    talk = Conversation(["Q USERID"])
    talk.container      # made when it is first shown
    box, again = talk._controls.children[0].children
    box.value = "HULLO"
    assert talk.commands == ["Q USERID", "HULLO"] and box.value == ""
    assert "?CP: HULLO" in talk._answer.value and "typed: 2" in talk._status.value
    again.click()
    assert talk.commands == [] and "Nothing" in talk._status.value
