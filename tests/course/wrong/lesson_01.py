"""Wrong solutions of lesson 01's exercises."""
ALL = {"real runs", "the digest", "the outcome", "what may differ"}

WRONG = {
    "ex01-count": {
        "forgets the new lines": (
            (("6 * n + 3 * lines + 2, n + lines + 1", "6 * n + 2, n + 1"),),
            {"instructions in several lines", "exits"}, "how many lines are full"),
        "forgets the power switch": (
            (("n + lines + 1]", "n + lines]"),), {"exits", "no dots at all"}, "one at the very end"),
        "rounds lines up": (
            (("n // ", "-(-n // "), ("                      # full", ")                     # full")),
            {"instructions in one short line", "instructions in several lines", "exits", "no dots at all"},
                            "count again"),
        "counts HLT, which is never reached": (
            (("6 * n + 3 * lines + 2", "6 * n + 3 * lines + 3"),),
            {"instructions in one short line", "instructions in several lines", "no dots at all"}, "count again"),
        "enters the loop for no dots": (
            (("lines = n // ", "n = max(n, 1)\n    lines = n // "),),
            {"no dots at all"}, "follow JZ"),
    },
    "ex01-faithful": {
        "compares what was printed": (
            (('native["digest"] == other["digest"]', 'native["output"] == other["output"]'),), {"the digest"},
            "result area"),
        "compares everything": (
            (('native["outcome"] == other["outcome"] and native["digest"] == other["digest"]', "native == other"),),
                                ALL,
            "end alike"),
        "forgets the outcome": (
            (('native["outcome"] == other["outcome"] and ', ""),), {"the outcome", "what may differ"},
            "outcome must be the same"),
        "wants as many instructions": (
            (('native["outcome"] ==', 'native["instructions"] == other["instructions"] and native["outcome"] =='),),
            {"what may differ"}, "may differ"),
        "always says yes": (
            (('return native["outcome"] == other["outcome"] and native["digest"] == other["digest"]', "return True"),),
                            ALL,
            "is not faithful"),
    },
    "ex01-breakeven": {
        "takes per cent for a fraction": (
            (("(100 * exits)", "exits"),), {"a measured workload", "round down", "large counts", "no exits"},
            "percent / 100"),
        "returns a float": (
            (("// (100 * exits)", "/ (100 * exits)"),),
                            {"a measured workload", "round down", "large counts", "no exits"},
            "whole number"),
        "rounds to the nearest": (
            (("instructions * percent // (100 * exits)", "round(instructions * percent / (100 * exits))"),),
            {"round down", "large counts"}, "round down"),
        "reckons with floats": (
            (("instructions * percent // (100 * exits)", "int(instructions * (percent / 100) / exits)"),),
                                {"large counts"},
            "last digits"),
        "divides by zero": (
            (("if exits == 0:\n        return None\n    ", ""),), {"no exits"}, ""),
        "says 0 without exits": (
            (("return None", "return 0"),), {"no exits"}, "None"),
    },
    "ex01-detect": {
        "prints both words the same": (
            (('selector & 3 ? "virtual " : ', ""),), {"tells the two apart", "prints its parameter", "leaves no trace"},
            "must print 'virtual'"),
        "asks by an instruction that traps": (
            (('__asm__ volatile("mov %%cs, %0" : "=r"(selector));',
              '__asm__ volatile("mov %%cr3, %0; mov %%cs, %0" : "=r"(selector));'),), {"leaves no trace"}, "mov-cr3"),
        "prints a constant": (
            (('pv_print_unsigned(pv_param("n", 0));', 'pv_print_unsigned(7);'),),
            {"tells the two apart", "prints its parameter", "leaves no trace"}, "its parameter"),
        "forgets the new line": (
            (('pv_puts("\\n");', ""),), {"tells the two apart", "prints its parameter", "leaves no trace"},
                                 "its parameter n"),
        "does not compile": (
            (("uint32_t selector;", "uint32_t selector"),),
            {"tells the two apart", "prints its parameter", "leaves no trace"}, "cannot be built"),
        "never ends": (
            (("return 0;", "for (;;) __asm__ volatile(\"\");"),),
            {"tells the two apart", "prints its parameter", "leaves no trace"}, "budget"),
    },
}
