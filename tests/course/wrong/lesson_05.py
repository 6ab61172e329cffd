"""Wrong solutions of lesson 05's exercises."""
_END = "### END SOLUTION\n}"
_RULES = {"CLI and STI", "what PUSHF shows", "what POPF takes", "flags survive", "the rest is copied"}
_EVERY_CUT = {"what ends a unit", "twelve", "the rest", "the kernel's own code"}

WRONG = {
    "ex05-exits": {
        "believes that CLI and its like still exit": (
            ((_END, _END + "\npredicted = {name: n or 1 for name, n in predicted.items()}"),), {"what vanishes"},
                                                      "in the cache"),
        "believes that a system call needs no monitor": (
            ((_END, _END + "\npredicted |= {name: 0 for name in predicted if name in ('syscall', 'context-switch', "
                           "'port-io', 'divide-error', 'timer', 'console')}"),), {"what stays"}, "between rings"),
        "takes the numbers of trap and emulate": (
            ((_END, _END + "\npredicted |= {name: n for name, n in {'page-fault': 7, 'page-table-update': 3, 'idle': "
                           "5}.items() if name in predicted}"),), {"what becomes less"}, "need no exit any more"),
        "believes that all exits vanish": (
            ((_END, _END + "\npredicted = dict.fromkeys(predicted, 0)"),), {"what stays", "what becomes less"},
                                           "as before"),
        "answers in texts": (
            ((_END, _END + "\npredicted = {name: str(n) for name, n in predicted.items()}"),),
            {"what vanishes", "what stays", "what becomes less"}, "whole number"),
    },
    "ex05-units": {
        "lets callouts run on": (
            (('kind in ("rewritten", "callout")', 'kind == "rewritten"'),), _EVERY_CUT - {"twelve"},
                                 "callout is the last"),
        "allows thirteen": (
            (("length == 12", "length == 13"),), {"twelve", "the kernel's own code"}, "at most twelve"),
        "forgets the last unit": (
            (("return lengths + [length] if length else lengths", "return lengths"),), {"twelve", "the rest"},
                                  "counts as well"),
        "adds an empty unit": (
            (("return lengths + [length] if length else lengths", "return lengths + [length]"),), _EVERY_CUT, ""),
        "ends a unit before what ends it": (
            (('        length += 1\n        if kind in ("rewritten", "callout") or length == 12:\n            '
              'lengths.append(length)\n'
              '            length = 0', '        if kind in ("rewritten", "callout") or length == 12:\n            '
                                        'lengths.append(length)\n'
              '            length = 0\n        length += 1'),), _EVERY_CUT, ""),
    },
    "ex05-state": {
        "takes the next entry too late": (
            (("if begin <= offset", "if begin < max(offset, 1)"),), {"at the first byte", "borrowed registers"},
                                          "from its own offset on"),
        "forgets the borrowed registers": (
            (("memory[name] if name in borrowed else value", "value"),), {"borrowed registers"}, "in memory"),
        "takes all registers from memory": (
            (("if name in borrowed else", "if borrowed else"),), {"borrowed registers"}, "the others in the CPU"),
        "reports the address of the unit": (
            (('unit["places"] if begin <= offset][-1]', 'unit["places"] if begin <= offset][0]'),),
            {"copied code", "at the first byte", "borrowed registers"}, "last place"),
    },
    "ex05-rule": {
        "clears the flag by AND": (
            (('["movl $0, virtual_if"]', '["andl $0, virtual_if"]'),), {"flags survive"}, "carry"),
        "copies PUSHF": (
            (('if instruction == "pushf":', 'if instruction == "pushfd":'),), {"what PUSHF shows"}, "virtual IF"),
        "copies POPF": (
            (('if instruction == "popf":', 'if instruction == "popfd":'),), {"what POPF takes"},
                        "virtual_if from bit 9"),
        "copies CLI": (
            (('if instruction == "cli":', 'if instruction == "clid":'),), _RULES, "cli"),
        "loses the flags in PUSHF": (
            (('["pushf", "pushf", ', '["pushf", '), ("4(%esp)", "(%esp)"), ('"1: popf"]', '"1: nop"]'),
             ('movl (%esp), %eax', 'movl 4(%esp), %eax')),
            {"flags survive"}, "PUSHF"),
        "leaves a word on the stack": (
            (('"popl %eax", "popf"]', '"popl %eax", "pushl (%esp)", "popf"]'),), {"what POPF takes"}, ""),
        "writes a directive": (
            (('["movl $1, virtual_if"]', '[".byte 0xfb"]'),), _RULES, "nothing else"),
        "borrows EAX and does not give it back": (
            (('"popl %eax", "popf"]', '"leal 4(%esp), %esp", "popf"]'),), {"what POPF takes"}, ""),
    },
}
