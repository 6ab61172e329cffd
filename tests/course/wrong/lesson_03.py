"""Wrong solutions of lesson 03's exercises."""
_SAVE, _CALL = "uint32_t were_on = shared.enabled;", "if (were_on && shared.pending)\n        call_monitor();"
_EVERY = {"sections without exits", "sections nest", "a pending interrupt is delivered at once", "no call for nothing"}

WRONG = {
    "ex03-probe": {
        "says that all trap": (
            (('"differs"', '"traps"'), ('"same"', '"traps"')),
            {"what traps", "what differs", "what is the same"}, "privileged"),
        "says that silent ones do the same": (
            (('"differs"', '"same"'),), {"what differs", "what is the same"}, "in silence"),
        "uses other words": (
            (('"same"', '"works"'),), {"what is the same"}, "as far as EAX"),
        "leaves one out": (
            (("}\n", '}\npredicted.pop(next(code for code, said in predicted.items() if said == "traps"))\n'),),
                           {"what traps"},
            "privileged"),
    },
    "ex03-classify": {
        "compares EAX alone": (
            (('ring0["registers"] == ring1["registers"]', 'ring0["registers"]["eax"] == ring1["registers"]["eax"]'),),
            {"registers"}, "not EAX alone"),
        "forgets IF": (
            (('ring0["interrupts"] == ring1["interrupts"] and ', ""),), {"the interrupt flag"}, "change of IF"),
        "takes every trap for privilege": (
            (('if ring1["trap"] and not ring0["trap"]', 'if ring1["trap"]'),), {"innocuous"}, "both rings"),
        "calls what differs privileged": (
            (('"innocuous" if same else "silent"', '"innocuous" if same else "privileged"'),),
            {"privileged", "registers", "the interrupt flag", "innocuous"}, "silent"),
        "expects IF to be 1 afterwards": (
            (('ring0["interrupts"] == ring1["interrupts"]', 'ring0["interrupts"]'),),
                                          {"the interrupt flag", "innocuous"}, "what was left"),
    },
    "ex03-flags": {
        "lets PUSHF show the virtual flag": (
            (("stack.append(1 if monitored else enabled)", "stack.append(enabled)"),),
                                             {"what PUSHF shows", "longer programs"},
            "whose IF"),
        "lets POPF work under the monitor": (
            (("            if not monitored:\n                enabled = flag", "            enabled = flag"),),
            {"what POPF does", "longer programs"}, "who hears of it"),
        "lets POPF do nothing anywhere": (
            (("            if not monitored:\n                enabled = flag",
              "            if False:\n                enabled = flag"),),
            {"on the bare machine", "what PUSHF shows", "what POPF does", "longer programs"}, "POPF sets it"),
        "pops the oldest": (
            (("stack.pop()", "stack.pop(0)"),),
            {"on the bare machine", "what PUSHF shows", "what POPF does", "longer programs"}, "at once"),
        "answers with booleans": (
            (("return [seen, enabled]", "return [seen, bool(enabled)]"),),
            {"on the bare machine", "what PUSHF shows", "what POPF does", "longer programs"}, ""),
    },
    "ex03-scan": {
        "looks for cs anywhere in the operands": (
            (('last in ("cs", "ss")', '("cs" in operands or "ss" in operands)'),), {"no false alarm"},
                                                  "needs no patch"),
        "forgets the 16-bit forms": (
            (('"pushf", "pushfd", "popf", "popfd"', '"pushfd", "popfd"'),), {"flags", "no false alarm"}, "with 16"),
        "forgets CS and SS": (
            ((' or mnemonic in ("mov", "push") and last in ("cs", "ss")', ""),), {"CS and SS", "no false alarm"},
            "shows the ring"),
        "patches what traps": (
            (('always = {', 'always = {"cli", "sti", "hlt", "iretd", '),), {"no false alarm"}, "needs no patch"),
        "takes VERR for harmless": (
            ((', "verr", "verw"', ""),), {"descriptors", "no false alarm"}, "VERR"),
        "returns lines and not indexes": (
            (("found.append(index)", "found.append([mnemonic, operands])"),),
            {"flags", "tables", "descriptors", "CS and SS", "no false alarm"}, "must be found"),
    },
    "ex03-section": {
        "uses CLI and STI": (
            (("shared.enabled = 0;", '__asm__ volatile("cli");'),), _EVERY, "plain C"),
        "always calls the monitor": (
            ((_CALL, "call_monitor();"),), _EVERY, "int"),
        "never calls the monitor": (
            ((_CALL, ""),), {"a pending interrupt is delivered at once", "no call for nothing"},
                                    "does not see a store"),
        "enables whatever was saved": (
            (("shared.enabled = were_on;", "shared.enabled = 1;"),), {"sections nest"}, "put back what was saved"),
        "looks before it stores": (
            (("shared.enabled = were_on;\n    " + _CALL, _CALL + "\n    shared.enabled = were_on;"),),
            {"a pending interrupt is delivered at once", "no call for nothing"}, "at once"),
        "forgets to turn interrupts off": (
            (("shared.enabled = 0;", ""),), _EVERY, "inside a section"),
        "believes that interrupts were on": (
            ((_SAVE, "uint32_t were_on = 1;"),), {"sections nest"}, "leave interrupts off"),
        "calls the monitor at every end that enables": (
            (("if (were_on && shared.pending)", "if (were_on)"),), _EVERY, "still leaves"),
    },
}
