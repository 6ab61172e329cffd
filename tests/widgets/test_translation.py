"""The stepper: a unit of real code, as the translator makes it anew."""
import pytest

from pvlab.errors import PvlabError
from pvlab.widgets.translation import stepper


@pytest.fixture(scope="module")
def updates():
    return stepper("page-table-update")


@pytest.fixture
def live(monkeypatch):
    class Shell:
        kernel = object()

    import IPython
    monkeypatch.setattr(IPython, "get_ipython", Shell)
    monkeypatch.delenv("PVLAB_STATIC")


def kinds(shown, step):
    return {line.text.split()[0]: line.what for line in shown.steps[step - 1].unit.lines if line.text}


def test_the_first_unit_is_the_one_that_is_adapted(updates):
    assert [kinds(updates, step)["cmpxchg8b"] for step in (1, 2, 3)] == ["IDENT", "callout", "in-cache"]
    assert [step.at for step in updates.steps] == sorted(step.at for step in updates.steps)


def test_each_step_says_what_has_happened(updates):
    said = []
    for updates.step in (1, 2, 3):
        said.append(updates.sentence().split(": ", 1)[1])
    assert said == ["the unit has been translated, and is about to run.",
                    "translated anew: cmpxchg8b was IDENT and is callout now.",
                    "translated anew: cmpxchg8b was callout and is in-cache now."]


def test_what_is_new_is_marked(updates):
    updates.step = 1
    assert not [row for row in updates.state()[0].rows if row[4]]
    updates.step = 3
    rows = updates.state()[0].rows
    assert len([row for row in rows if row[4]]) > 30
    assert not [row for row in rows if row[4] and row[2] == "IDENT"]


def test_chaining_is_told():
    shown = stepper("call-return", n=3)
    told = []
    for shown.unit in shown.history:
        for shown.step in range(2, len(shown.steps) + 1):
            told.append(shown.sentence())
    assert any("chained: jmp unit 0x" in sentence for sentence in told)


def test_it_shows_itself_as_text_and_as_html(updates):
    updates.step = 2
    bundle = updates._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}
    assert "step 2 of 3" in bundle["text/plain"] and "cmpxchg8b" in bundle["text/html"]


def test_its_controls_follow_each_other(live):
    shown = stepper("page-table-update")
    workload, below = shown.container.children[1].children
    unit, step = below.children
    assert step.options == (("1", 1), ("2", 2), ("3", 3))
    step.value = 3
    assert "is in-cache now" in shown._status.value
    unit.value = unit.options[1][1]
    assert shown.step == 1 and "has been translated" in shown._status.value
    workload.value = "call-return"
    assert "workload=call-return" in shown._answer.value
    assert shown.unit in shown.history


@pytest.mark.parametrize("how, said", [
    ({"workload": "nothing"}, "there is no workload 'nothing'"),
    ({"at": 0x123}, "no unit that ran begins at 0x00000123"),
    ({"guest": "hello"}, "need a guest with the parameters")])
def test_bad_input_is_one_sentence(how, said):
    with pytest.raises(PvlabError, match=said):
        stepper(**how)
