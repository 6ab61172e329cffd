"""Families of exit reasons: what a chart draws in one colour. Colours are Okabe and Ito's, and hatches tell them in grey."""
from __future__ import annotations

# (name, colour, hatch, reasons). Events and accesses of a bill fall under the same families.
FAMILIES = (
    ("the guest's own instructions", "#C8C8C8", "", ("guest",)),
    ("interrupt flag and idling", "#0072B2", "", (
        "cli", "sti", "hlt", "pushf", "popf", "ssm", "stosm", "stnsm", "epsw")),
    ("system registers", "#56B4E9", "//", (
        "mov-cr0", "mov-cr2", "mov-cr3", "mov-cr4", "mov-dr", "clts", "lmsw", "lgdt", "lidt", "lldt", "ltr", "invlpg",
        "wbinvd", "rdmsr", "wrmsr", "rdtsc", "rdpmc", "sgdt", "sidt", "sldt", "str", "smsw",
        "spka", "ipk", "sac", "sacf", "iac", "epar", "esar", "lctl", "lctlg", "stctl", "stctg", "spx", "stpx", "stidp",
        "stap", "stsi", "stfl", "stfle", "stck", "stckf", "stcke", "ectg", "sck", "sckpf", "sckc", "stckc", "spt",
        "stpt", "sigp", "servc", "mc")),
    ("segments and returns", "#D55E00", "\\\\", (
        "iret", "sysexit", "segment-load", "far-transfer", "lar", "lsl", "verr", "verw", "mov-from-cs", "lpsw", "lpswe")),
    ("memory", "#009E73", "..", (
        "page-fault:shadow", "page-fault:guest", "page-table-write", "event:page-fault", "page-in", "iske", "sske",
        "ivsk", "rrbe", "pfmf", "ptlb", "palb", "ipte", "idte", "csp", "cspg", "lra", "lray", "lrag", "lura", "lurag",
        "stura", "sturg", "tprot", "tb")),
    ("reflected events", "#CC79A7", "xx", (
        "int", "sysenter", "exception", "interrupt", "svc", "program-check", "not-simulated")),
    ("devices", "#E69F00", "--", (
        "io:read", "io:write", "mmio:read", "mmio:write", "world-switch", "ssch", "tsch", "stsch", "msch", "tpi", "hsch",
        "csch", "rsch", "xsch", "rchp", "stcrw", "schm", "sal", "stcps", "chsc")),
    ("hypercalls", "#000000", "", ("hypercall",)),
    ("translation", "#F0E442", "oo", ("translate", "dispatch", "code-write", "step", "write-callout")),
    ("several small ones", "#F4F4F4", "", ("other",)),
)
_FAMILY = {reason: found for found in FAMILIES for reason in found[3]}
_BY_PREFIX = {"event": _FAMILY["int"], "access": _FAMILY["io:read"], "diagnose": _FAMILY["hypercall"]}


def family(reason: str) -> tuple:
    """(name, colour, hatch, reasons) of the family of a reason, or of a bill's `event:…` or `access:…`."""
    return _FAMILY.get(reason) or _BY_PREFIX.get(reason.partition(":")[0]) or _FAMILY["other"]
