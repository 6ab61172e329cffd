"""Wrong solutions of lesson 04's exercises."""
_PLAN = {"what to read", "the comparison", "no bytes", "too long", "outside storage", "a guest asks"}
_SWAP = {"the old PSW", "the old PSW of a program", "the new PSW", "the real CPU", "interruptions of real guests"}

WRONG = {
    "ex04-code": {
        "takes register 0 for a base": (
            (("(registers[base] if base else 0)", "registers[base]"),),
            {"registers and displacement", "the base register", "sixteen bits", "other instructions"}, "twelve bits"),
        "forgets the base register": (
            ((" + (registers[base] if base else 0)", ""),), {"the base register", "sixteen bits"}, "is added"),
        "keeps the whole sum": (
            (("number % 65536", "number"),), {"sixteen bits"}, "last 16 bits"),
        "takes a displacement of eight bits": (
            (("(code[2] & 15) << 8 | code[3]", "code[3]"),),
            {"registers and displacement", "the base register", "sixteen bits", "other instructions"}, "twelve bits"),
        "decodes everything": (
            (("if code[0] != 0x83:\n        return None\n    ", ""),), {"other instructions"}, "no DIAGNOSE"),
    },
    "ex04-requests": {
        "reads and forgets to write": (
            (("2 * -(-blocks", "-(-blocks"),),
                                       {"channel programs, block by block", "batches", "a short last request",
                                        "DIAGNOSE"},
            "read and written"),
        "rounds down": (
            (("-(-blocks // batch)", "(blocks // batch)"),), {"a short last request"}, "round up"),
        "forgets the wait": (
            (('"lpswe": 2 * requests', '"lpswe": requests'),),
            {"channel programs, block by block", "batches", "a short last request", "DIAGNOSE"}, "four exits"),
        "forgets how X'250' begins": (
            (("requests + 2", "requests"),), {"DIAGNOSE"}, "to begin with"),
        "forgets batches": (
            (("-(-blocks // batch)", "blocks"),), {"batches", "a short last request", "DIAGNOSE"}, "several blocks"),
    },
    "ex04-swap": {
        "stores the address first": (
            (('psw[0].to_bytes(8, "big") + psw[1].to_bytes(8, "big")',
              'psw[1].to_bytes(8, "big") + psw[0].to_bytes(8, "big")'),),
            {"the old PSW", "the old PSW of a program", "interruptions of real guests"}, "mask first"),
        "writes little-endian": (
            (('"big"', '"little"'),), _SWAP, "big-endian"),
        "stores the real PSW": (
            (("psw[0].to_bytes", "(psw[0] | PROBLEM).to_bytes"),), {"the old PSW", "interruptions of real guests"},
                                "virtual one"),
        "stores no problem state": (
            (("psw[0].to_bytes", "(psw[0] & ~OWN).to_bytes"),),
            {"the old PSW", "the old PSW of a program", "interruptions of real guests"}, "as it is"),
        "lets the guest run in the supervisor state": (
            (("mask & ~OWN | PROBLEM", "mask & ~OWN"),), {"the real CPU", "interruptions of real guests"},
                                                       "problem state"),
        "gives the guest CP's bits": (
            (("mask & ~OWN | PROBLEM", "mask | PROBLEM"),), {"the real CPU"}, "none of the bits"),
    },
    "ex04-compare": {
        "believes the length": (
            (("if length > 4096:\n        return {\"cc\": 3}\n    ", ""),), {"too long", "a guest asks"}, "at once"),
        "checks only where areas begin": (
            (("address + length > storage", "address >= storage"),), {"outside storage"}, "their ends"),
        "checks the first area only": (
            (("for address, length in areas)", "for address, length in areas[:1])"),), {"outside storage"},
                                       "both areas"),
        "forbids the last byte of storage": (
            (("address + length > storage", "address + length >= storage"),), {"outside storage"}, "end with storage"),
        "counts from one": (
            (("enumerate(zip(one, other))", "enumerate(zip(one, other), 1)"),),
                            {"the comparison", "no bytes", "a guest asks"},
            "first difference"),
        "takes lower for higher": (
            (("1 if a < b else 2", "2 if a < b else 1"),), {"the comparison", "no bytes"}, "2 where it is higher"),
        "looks at the addresses first": (
            (('    if length > 4096:\n        return {"cc": 3}\n', ""),
             ('        return {"interrupt": 5}\n', '        return {"interrupt": 5}\n    if length > 4096:\n        '
                                                   'return {"cc": 3}\n')),
            {"too long"}, "whatever the addresses are"),
    },
}
