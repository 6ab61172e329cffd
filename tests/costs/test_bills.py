"""Bills: each happening priced once, every sum right, and what has no figure named."""
import json

import pytest
from handmade import make_run

from pvlab.costs import CostError, bill, cost_model, cost_models
from pvlab.costs.pricing import DIRECT
from pvlab.reasons import REASONS
from pvlab.trace import EVENTS

TRAPPED = make_run(exits={"cli": 100, "int": 50, "io:write": 7, "page-fault:guest": 3, "exception": 2},
                   events={"page-fault": 3, "int": 50, "divide-error": 2}, accesses={"port-0x80:write": 7})
NATIVE = make_run("native", events={"page-fault": 3, "int": 50, "divide-error": 2},
                  accesses={"port-0x80:read": 5, "port-0x80:write": 7, "debug-console:write": 4})


@pytest.mark.parametrize("model", [model.name for model in cost_models()])
@pytest.mark.parametrize("run", [TRAPPED, NATIVE, make_run(), make_run("native", instructions=0)],
                         ids=["trapped", "native", "no exits", "nothing"])
def test_sums(run, model):
    found = bill(run, model)
    assert found.guest == run.instructions
    assert found.total == found.guest + sum(found.by_reason.values())
    assert found.total == found.guest + found.hardware + found.monitor + found.user + found.undivided
    assert found.to_dict() == {"model": model, "total": found.total, "guest": found.guest,
                               "by_reason": found.by_reason, "unpriced": found.unpriced}
    assert all(type(value) is int for value in (found.total, found.guest, *found.by_reason.values(),
                                                *found.unpriced.values()))
    assert json.loads(json.dumps(found.to_dict())) == found.to_dict()
    counts = {"exit": len(run.trace)}
    if run.monitor in DIRECT:
        counts |= {"event": len(run.trace.events), "access": len(run.trace.accesses)}
    for kind, count in counts.items():
        assert sum(line.count for line in found.lines if line.kind == kind) == count


def test_the_bare_machine_is_priced_by_its_events_and_accesses():
    found = bill(NATIVE, "p4-672-2006")
    assert found.by_reason == {"access:port-0x80:read": 5 * 3209, "event:page-fault": 3 * 1093,
                               "event:divide-error": 2 * 889}
    assert found.unpriced == {"event:int": 50, "access:port-0x80:write": 7, "access:debug-console:write": 4}


def test_under_a_monitor_only_exits_are_priced():
    """A guest's page fault is one exit and one event: it is priced once, and never by the native cost."""
    found = bill(TRAPPED, "p4-672-2006")
    assert found.by_reason == {} and found.total == found.guest
    assert found.unpriced == {"cli": 100, "int": 50, "io:write": 7, "page-fault:guest": 3, "exception": 2}
    found = bill(TRAPPED, "p4-1700-2002")
    assert found.by_reason == {"io:write": 7 * 2087} and found.undivided == 7 * 2087
    assert found.hardware == found.monitor == 0
    assert bill(TRAPPED, "xeon-2400-2003").by_reason == {}


def test_vmx_prices_every_exit_in_part():
    found = bill(TRAPPED, "vmx-westmere-2010")
    assert found.by_reason["cli"] == 76_100 and found.hardware == 162 * 761
    assert found.unpriced["cli (monitor)"] == 100 and len(found.unpriced) == len(found.by_reason)
    assert "were they VMX exits" in found.table().text().replace("\n", " ")
    assert "monitor's part was not published" in found.note


def test_names_of_exits_events_and_accesses_never_meet():
    everything = make_run("native", exits={reason: 1 for reason in REASONS}, events={event: 1 for event in EVENTS},
                          accesses={"cli:read": 1, "int:write": 1})
    found = bill(everything, "vmx-merom-2006")
    assert len({line.key for line in found.lines}) == len(found.lines) == len(REASONS) + len(EVENTS) + 2


def test_the_table_says_what_is_assumed_and_what_is_missing():
    text = bill(TRAPPED, "p4-672-2006").table().text()
    assert "guest instructions (assumed)" in text and "not published" in text
    assert "total of what could be priced" in text
    note = bill(TRAPPED, "p4-672-2006").note
    assert "Assumed, not published: 1 cycle for each guest instruction." in note
    assert "#GP" in note and "for 162 of these" in note
    priced = bill(make_run("native", events={"page-fault": 3}), "p4-672-2006")
    assert "\ntotal  " in priced.table().text() and not priced.unpriced


def test_a_bill_names_its_sources():
    note = bill(TRAPPED, "vmx-merom-2006").note
    assert "Source: Agesen, Mattson, Rugina and Sheldon, USENIX ATC 2012, table 1." in note
    assert bill(TRAPPED, "p4-672-2006").sources == [] and "Source" not in bill(TRAPPED, "p4-672-2006").note
    assert len(bill(NATIVE, "p4-672-2006").sources) == 3


def test_a_bill_shows_itself():
    found = TRAPPED.bill("vmx-merom-2006")
    bundle = found._repr_mimebundle_()
    assert bundle["text/plain"] == repr(found) and "<caption" in bundle["text/html"]
    assert repr(found) == repr(TRAPPED.bill("vmx-merom-2006"))
    assert found.plot().alt


def test_the_run_asks_for_a_model_that_is_not_there():
    with pytest.raises(CostError, match="no cost model 'nothing'"):
        TRAPPED.bill("nothing")


def test_guest_cycles_follow_the_models_assumption():
    from dataclasses import replace
    model = replace(cost_model("vmx-merom-2006"), guest_cpi=1.5)
    found = bill(make_run(instructions=3), model)
    assert found.guest == 4 and "1.5 cycles" in found.note


def test_a_world_switch_is_no_exit_that_hardware_was_measured_for():
    """A hosted monitor's technique is the same; what its host takes was not published."""
    hosted = make_run("trap-and-emulate, hosted", {"io:write": 3, "world-switch": 2})
    found = hosted.bill("vmx-sandybridge-2011")
    assert found.by_reason == {"io:write": 3 * 784} and found.unpriced == {"io:write (monitor)": 3, "world-switch": 2}
