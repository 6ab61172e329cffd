"""The command that executes and normalises notebooks, tried on small ones."""
import json

import pytest

from pvlab.course import notebooks
from pvlab.course.lint import WIDGET, problems

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="


def code(source, *outputs, **more):
    return {"cell_type": "code", "metadata": {}, "execution_count": None, "source": source, "outputs": list(outputs),
            **more}


def book(*cells, **metadata):
    return {"cells": list(cells), "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


@pytest.fixture
def tool(tmp_path, capsys):
    """tool(notebook, *options) stores the notebook, runs the command, and gives its status, its output and the file."""
    def run(content, *options):
        file = tmp_path / "lesson.ipynb"
        if content is not None:
            file.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
        status = notebooks.main([*options, str(file)])
        return status, capsys.readouterr(), file
    return run


def test_execution_is_canonical_and_a_second_one_changes_nothing(tool):
    status, said, file = tool(book(
        {"cell_type": "markdown", "id": "title", "metadata": {"collapsed": True}, "source": "# Hi"},
        code("import sys\nprint('a', flush=True); print('b', flush=True)", metadata={"execution": {"iopub": "now"}}),
        code("{'x': 'é'}", metadata={"tags": ["kept"]}, execution_count=17),
        kernelspec={"name": "mine", "display_name": "Mine"}, language_info={"name": "python", "version": "3.11.7"},
        widgets={"state": {}}, pvlab={"minutes": 5}))
    assert (status, said.out) == (0, "lesson.ipynb: written\n")
    text = file.read_text("utf-8")
    done = json.loads(text)
    assert done["metadata"] == {"kernelspec": notebooks.KERNEL, "language_info": notebooks.LANGUAGE,
                                "pvlab": {"minutes": 5}}
    title, printing, value = done["cells"]
    assert title["id"] == "title" and title["metadata"] == {}
    assert printing["outputs"] == [{"name": "stdout", "output_type": "stream", "text": ["a\n", "b\n"]}]
    assert printing["metadata"] == {} and printing["execution_count"] == 1
    assert value["execution_count"] == value["outputs"][0]["execution_count"] == 2
    assert value["metadata"] == {"tags": ["kept"]}
    assert "é" in text and text.endswith("}\n")

    status, said, file = tool(None, "--check")
    assert (status, said.out) == (0, "lesson.ipynb: unchanged\n")
    assert file.read_text("utf-8") == text


def test_check_writes_nothing_and_shows_the_difference(tool):
    stale = code("6 * 7", {"output_type": "execute_result", "execution_count": 1, "metadata": {},
                           "data": {"text/plain": "41"}})
    status, said, file = tool(book(stale), "--check")
    assert status == 1
    assert '-       "41"\n+       "42"\n' in said.out
    assert json.loads(file.read_text("utf-8"))["cells"] == [stale]


def test_check_notices_a_file_in_another_form(tool):
    _, _, file = tool(book(code("6 * 7")))
    status, said, _ = tool(json.dumps(json.loads(file.read_text("utf-8"))), "--check")
    assert status == 1 and said.out.endswith("only the form of the JSON text differs\n")


def test_a_failing_cell_is_reported_and_the_file_left_alone(tool):
    status, said, file = tool(book(code("1 / 0")))
    assert status == 1 and "lesson.ipynb: a cell failed" in said.err and "ZeroDivisionError" in said.err
    assert json.loads(file.read_text("utf-8"))["cells"] == [code("1 / 0")]


def test_an_expected_error_is_stored(tool):
    status, _, file = tool(book(code("1 / 0", metadata={"tags": ["raises-exception"]})))
    assert status == 0
    assert json.loads(file.read_text("utf-8"))["cells"][0]["outputs"][0]["ename"] == "ZeroDivisionError"


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"cells": []}', '{"cells": [{}], "metadata": {}, "nbformat": 4}'])
def test_a_file_that_is_no_notebook(tool, content):
    status, said, _ = tool(content)
    assert status == 1 and said.err.startswith("notebooks: ") and "is not a notebook" in said.err


def test_a_missing_file(tool):
    status, said, _ = tool(None)
    assert status == 1 and said.err.endswith("lesson.ipynb: No such file or directory\n")


FIGURE = """from IPython.display import display
display({"image/png": PNG, "text/plain": "a dot"}, raw=True, metadata={"image/png": {"alt": "a dot"}})
print("1 2")"""


def figure(text, png):
    return {"output_type": "display_data", "metadata": {"image/png": {"alt": "a dot"}},
            "data": {"image/png": png, "text/plain": text}}


def test_a_figure_is_kept_while_its_numbers_are_the_same(tool):
    cell = code(FIGURE.replace("PNG", repr(PIXEL)), id="figure")

    def stored_png(numbers, *options):
        outputs = [figure("a dot", "b2xk\n"), {"output_type": "stream", "name": "stdout", "text": numbers}]
        _, _, file = tool(book({**cell, "outputs": outputs}), *options)
        return "".join(json.loads(file.read_text("utf-8"))["cells"][0]["outputs"][0]["data"]["image/png"])
    assert stored_png("1 2\n") == "b2xk\n"
    assert stored_png("1 3\n") == PIXEL + "\n"
    assert stored_png("1 2\n", "--redraw") == PIXEL + "\n"


def test_ids_are_made_once_and_do_not_depend_on_chance():
    def ids(content):
        return [cell.id for cell in notebooks.read(json.dumps(content), notebooks.Path("lesson.ipynb")).cells]
    content = book(code("1"), code("1"), code("2", id="own"), code("3", id="own"))
    first = ids(content)
    assert first == ids(content) and len(set(first)) == 4 and first[2] == "own"


# The rules

def markdown(source):
    return {"cell_type": "markdown", "id": "m", "metadata": {}, "source": source}


def result(**data):
    return {"output_type": "execute_result", "execution_count": 1, "metadata": {},
            "data": {kind.replace("_", "/"): value for kind, value in data.items()}}


def with_output(output, **more):
    return code("x", output, id="c", **more)


@pytest.mark.parametrize("cell, problem", [
    (code("x"), "its id is missing or taken"),
    (code(" ", id="c"), "it is empty"),
    (code("f();\n", id="c"),
     "the semicolon at its end hides a value from JupyterLab, but not from nbval: assign the value to _"),
    (code("x", id="c", metadata={"tags": ["nbval-skip"]}), "the tag 'nbval-skip' hides it from nbval"),
    (markdown("![](a.png)"), "a picture has no alt text"),
    (markdown('<img src="a.png" alt="">'), "a picture has no alt text"),
    (with_output({"output_type": "error", "ename": "E", "evalue": "v", "traceback": []}), "it stores an error: E: v"),
    (with_output(result(text_plain="x", **{WIDGET: {}})), "it stores a view of a widget"),
    (with_output(result(text_plain="1 2", image_png=PIXEL)), "its figure has no alt text"),
    (with_output(figure("<Figure size 1x1>", PIXEL)), "its figure has no text with the same numbers"),
    (with_output(result(text_html="<b>x</b>")), "its output has no plain text"),
    (with_output(result(text_plain="<a.B object at 0x7f0011223344>")),
     "its output holds the address of a Python object: '<a.B object at 0x7f0011223344>'"),
    (with_output(result(text_plain="see /home/me/x")), "its output holds an absolute path: 'see /home/me/x'"),
])
def test_rule(cell, problem):
    assert list(problems(book(cell))) == [f"cell 1 ({cell.get('id', 'no id')}): {problem}"]


def test_widget_state_is_refused():
    assert list(problems(book(widgets={}))) == ["its metadata hold widget state"]


@pytest.mark.parametrize("cell", [
    markdown('![a dot](a.png) <img src="a.png" alt="a dot">'),
    code("x", id="c", metadata={"tags": ["raises-exception"]}),
    with_output(figure("1 2", PIXEL)),
    with_output({"output_type": "error", "ename": "E", "evalue": "v", "traceback": []},
                metadata={"tags": ["raises-exception"]}),
    with_output(result(text_plain="https://example.org/home/x and </tmp/>")),
])
def test_what_is_allowed(cell):
    assert list(problems(book(cell))) == []
