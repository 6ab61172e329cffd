"""The cost models that ship: every figure has its source, and none is confirmed by itself."""
import re

import pytest

from pvlab.costs import CostError, cost_model, cost_models, load
from pvlab.costs.model import CONFIDENCES, STATUSES, TECHNIQUES
from pvlab.reasons import REASONS
from pvlab.trace import EVENTS

NAMES = {"p4-672-2006", "xeon-2400-2003", "p4-1700-2002", "vmx-prescott-2005", "vmx-merom-2006", "vmx-penryn-2008",
         "vmx-nehalem-2009", "vmx-westmere-2010", "vmx-sandybridge-2011"}


def test_the_models_that_there_are():
    assert {model.name for model in cost_models()} == NAMES
    assert [model.year for model in cost_models()] == sorted(model.year for model in cost_models())
    for model in cost_models():
        assert str(model.year) == model.name[-4:] and model.machine and model.guest_cpi == 1
        assert model.to_dict()["name"] == model.name and model.to_dict()["prices"]


@pytest.mark.parametrize("model", cost_models(), ids=lambda model: model.name)
def test_every_figure_has_a_source_a_confidence_and_a_status(model):
    assert model.cells
    for cell in model.cells:
        assert re.search(r"\b(ASPLOS|SOSP|OSDI|USENIX ATC) (20\d\d)", cell.source)
        assert cell.confidence in CONFIDENCES and cell.status in STATUSES
        assert bool(cell.formula) == (cell.confidence == "D")
        known = {"exit": REASONS, "event": EVENTS}.get(cell.kind, cell.reasons)
        assert cell.reasons == ("*",) or set(cell.reasons) <= set(known)
        assert set(cell.techniques) <= set(TECHNIQUES) and cell.cycles > 0
    for figure in model.published:
        assert re.search(r"\b(ASPLOS|SOSP|OSDI|USENIX ATC) (20\d\d)", figure.source)
        assert figure.confidence in ("V", "V2") and figure.status in STATUSES and figure.technique in TECHNIQUES
        assert (figure.value is None) == bool(figure.relation)


def test_no_figure_from_memory():
    """Figures of the same papers that we have only from memory: they must not be here as published."""
    remembered = {242, 2242, 209, 144, 2409, 937, 1931, 1186, 2030, 1254, 216}
    p4 = cost_model("p4-672-2006")
    assert not remembered & {figure.value for figure in p4.published}
    assert not remembered & {cell.cycles for cell in p4.cells}


def test_what_went_into_a_cell_is_not_held_out():
    """A published value that a cell of its model was made from is marked as such."""
    for model in cost_models():
        made_of = {cell.cycles for cell in model.cells}
        made_of |= {float(number) for cell in model.cells for number in re.findall(r"[\d.]+", cell.formula)}
        for figure in model.published:
            if figure.unit in ("cycles", "microseconds") and figure.status == "held-out":
                same = figure.value in made_of
                assert not same or (model.name, figure.operation) in COINCIDENCES, (model.name, figure)


# Held-out figures that merely equal a number in a formula.
COINCIDENCES: set = set()


def test_the_published_figures():
    def cycles(name, kind, reason, technique="native"):
        cell = cost_model(name).cell(kind, reason, technique)
        return cell and cell.cycles

    assert cycles("p4-672-2006", "event", "page-fault") == 1093
    assert cycles("p4-672-2006", "event", "divide-error") == 889
    assert cycles("p4-672-2006", "access", "port-0x80:read") == 3209
    assert cycles("p4-672-2006", "access", "port-0x80:write") is None
    assert cycles("p4-672-2006", "exit", "cli", "trap-and-emulate") is None
    assert cycles("p4-672-2006", "exit", "exception", "binary-translation") == 3223
    assert cycles("p4-672-2006", "exit", "page-fault:guest", "binary-translation") == 1093 + 3223 - 889
    assert cost_model("p4-672-2006").cell("exit", "int", "binary-translation").parts == {"hardware": None, "monitor": 2334}
    assert cycles("p4-672-2006", "exit", "io:read", "binary-translation") is None
    assert cycles("xeon-2400-2003", "event", "page-fault") == 3408
    assert cycles("xeon-2400-2003", "event", "int") == 1080
    assert cycles("xeon-2400-2003", "exit", "cli", "trap-and-emulate") is None
    assert cycles("xeon-2400-2003", "exit", "page-fault:guest", "paravirtual") == 1572
    assert cycles("p4-1700-2002", "exit", "io:write", "trap-and-emulate") == 2087
    assert cycles("p4-1700-2002", "exit", "cli", "trap-and-emulate") is None
    trips = {"vmx-prescott-2005": 3963, "vmx-merom-2006": 1579, "vmx-penryn-2008": 1266, "vmx-nehalem-2009": 1009,
             "vmx-westmere-2010": 761, "vmx-sandybridge-2011": 784}
    for name, trip in trips.items():
        cell = cost_model(name).cell("exit", "iret", "trap-and-emulate")
        assert cell.parts == {"hardware": trip, "monitor": None} and cell.unpublished == ("monitor",)


def test_published_tables_have_every_operation():
    p4 = cost_model("p4-672-2006").published
    assert len({figure.operation for figure in p4}) == 7
    xeon = cost_model("xeon-2400-2003").published
    assert len({figure.operation for figure in xeon}) == 10 + 7 + 7
    assert {figure.technique for figure in xeon} == {"native", "paravirtual", "binary-translation"}
    assert cost_model("xeon-2400-2003").published_table().rows


def test_a_supposed_figure_is_not_published():
    model = cost_model("vmx-merom-2006")
    changed = model.with_part(model.cells[0], "monitor", 500)
    assert changed.cells[0].cycles == 1579 + 500 and changed.cells[0].confidence == "supposed"
    assert model.cells[0].cycles == 1579 and cost_model("vmx-merom-2006").cells[0].parts["monitor"] is None


GOOD = """
machine = "a machine"
year = 2000
guest_cpi = 1
[[cell]]
kind = "exit"
reasons = ["cli"]
hardware = 100
monitor = "not published"
source = "a paper, table 1"
confidence = "V"
status = "calibrated"
"""


def write(tmp_path, text):
    file = tmp_path / "mine.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_model_of_ones_own(tmp_path):
    file = write(tmp_path, GOOD)
    assert cost_model(str(file)).cell("exit", "cli", "native").cycles == 100
    assert load(file).name == "mine"


@pytest.mark.parametrize("old, new, said", [
    ('source = "a paper, table 1"\n', "", "mine.toml, cell 1: 'source' is missing"),
    ('source = "a paper, table 1"', 'source = " "', "cell 1: 'source' is missing"),
    ('["cli"]', '["climb"]', "cell 1: unknown reason 'climb'"),
    ('["cli"]', '["cli", "*"]', "cell 1: unknown reason '*'"),
    ('["cli"]', "[]", "cell 1: 'reasons' is missing"),
    ('"exit"', '"entry"', "cell 1: 'kind' is 'entry', not one of exit, event, access"),
    ('"exit"', '"event"', "cell 1: unknown reason 'cli'"),
    ('confidence = "V"', 'confidence = "M"', "cell 1: 'confidence' is 'M'"),
    ('confidence = "V"', 'confidence = "D"', "has a formula"),
    ('confidence = "V"', 'confidence = "D"\nformula = "99 + 2"', "does not come to 100"),
    ('confidence = "V"', 'confidence = "D"\nformula = "__import__(\'os\')"', "is not a formula"),
    ('confidence = "V"', 'confidence = "D"\nformula = "9**9**9"', "is not a formula"),
    ('confidence = "V"', 'confidence = "D"\nformula = "1/0"', "is not a formula"),
    ('"calibrated"', '"guessed"', "cell 1: 'status' is 'guessed'"),
    ("hardware = 100", "hardware = -1", "cell 1: 'hardware' is missing or is not a positive number"),
    ("hardware = 100", "hardware = 1.5", "cell 1: 'hardware' is not a whole number"),
    ("hardware = 100", "hardware = true", "cell 1: 'hardware'"),
    ("hardware = 100", 'hardware = "not published"', "cell 1: has no cycles"),
    ("hardware = 100", "hardwear = 100", "cell 1: unknown key 'hardwear'"),
    ("hardware = 100", "hardware = 100\ntechniques = ['magic']", "cell 1: unknown technique 'magic'"),
    ("guest_cpi = 1", "guest_cpi = 0", "mine.toml: 'guest_cpi'"),
    ("guest_cpi = 1", "guest_cpi = nan", "mine.toml: 'guest_cpi'"),
    ("year = 2000", 'year = "2000"', "mine.toml: 'year'"),
    ("year = 2000", "year = 2000\nclock_mhz = 100", "mine.toml: 'clock_source'"),
    ("year = 2000", "year = 2000\nclock = 100", "mine.toml: unknown key 'clock'"),
    ("[[cell]]", "[cell]", "mine.toml: 'cell' is not written as [[cell]]"),
    ("[[cell]]", "[[cell", "mine.toml:"),
    ("[[cell]]", "[[published]]\n[[cell]]", "mine.toml, published row 1: has neither values nor relations"),
    ("[[cell]]", "[[published]]\nvalues = {magic = 1}\n[[cell]]", "published row 1:"),
])
def test_a_wrong_file_is_refused_by_name(tmp_path, old, new, said):
    assert old in GOOD
    with pytest.raises(CostError) as error:
        load(write(tmp_path, GOOD.replace(old, new)))
    assert said in str(error.value) and "\n" not in str(error.value).rstrip()


def test_two_cells_for_the_same_exit_are_refused(tmp_path):
    cell = GOOD[GOOD.index("[[cell]]"):]
    with pytest.raises(CostError, match="two cells price exit cli"):
        load(write(tmp_path, GOOD + cell))
    held_out = cell.replace("calibrated", "held-out")
    assert load(write(tmp_path, GOOD + held_out)).cell("exit", "cli", "native").status == "calibrated"


def test_the_closest_cell_prices_and_held_out_ones_never_do(tmp_path):
    def cell(reasons, cycles, techniques="", status="calibrated"):
        return (GOOD[GOOD.index("[[cell]]"):].replace('["cli"]', reasons).replace("100", str(cycles))
                .replace("calibrated", status) + (f"techniques = {techniques}\n" if techniques else ""))

    head = GOOD[:GOOD.index("[[cell]]")]
    model = load(write(tmp_path, head + cell('["*"]', 1) + cell('["cli"]', 2) + cell('["*"]', 3, '["cp"]')
                       + cell('["cli"]', 4, '["cp"]') + cell('["sti"]', 5, status="held-out")))
    prices = {(reason, technique): model.cell("exit", reason, technique).cycles
              for reason in ("cli", "sti") for technique in ("cp", "native")}
    assert prices == {("sti", "native"): 1, ("cli", "native"): 2, ("sti", "cp"): 3, ("cli", "cp"): 4}


def test_an_unknown_model_or_file_is_one_line(tmp_path):
    with pytest.raises(CostError, match="no cost model 'p5'; there are p4-1700-2002"):
        cost_model("p5")
    with pytest.raises(CostError, match="cannot read"):
        cost_model(str(tmp_path / "none.toml"))
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CostError, match="binary.toml"):
        cost_model(str(tmp_path / "binary.toml"))
