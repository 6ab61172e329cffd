"""Wrong solutions of lesson 02's exercises."""
_RIGHTS = 'rights = directory & page & (W | U)'

WRONG = {
    "ex02-predict": {
        "counts a silent instruction": (
            (("### END SOLUTION", 'predicted["popf"] = 1\n### END SOLUTION'),), {"which reasons", "how often"},
            "do not occur"),
        "forgets one": (
            (("### END SOLUTION", "predicted.popitem()\n### END SOLUTION"),), {"which reasons", "how often"},
            "missing"),
        "counts each reason once too often": (
            (("### END SOLUTION", "predicted = {reason: count + 1 for reason, count in predicted.items()}\n### END "
                                  "SOLUTION"),),
            {"how often"}, "counts are wrong"),
        "counts in texts": (
            (("### END SOLUTION", "predicted = {reason: str(count) for reason, count in predicted.items()}\n### END "
                                  "SOLUTION"),),
            {"which reasons", "how often"}, "whole numbers"),
    },
    "ex02-which": {
        "knows devices by any port write": (
            (('return "console" if exits["io:write"] > 13 * 30 else "syscall"', 'return "console"'),), {"system calls"},
            "syscall"),
        "takes both that do not exit for one": (
            (('return "compute" if exits.get("int", 0) else "call-return"', 'return "compute"'),),
            {"no exits of their own"}, "user program"),
        "looks for any occurrence": (
            (("if count >= 30", "if count >= 1"),), {"time", "system calls", "devices", "no exits of their own"},
                                     "taken for another"),
        "mixes up fork and context-switch": (
            (('if "page-table-write" in many: return "fork"\n        if "mov-cr3" in many: return "context-switch"',
              'if "mov-cr3" in many: return "context-switch"\n        if "page-table-write" in many: return "fork"'),),
            {"memory"}, "copied address spaces"),
    },
    "ex02-decode": {
        "swaps IN and OUT": (
            (('return ["io:write" if first & 2 else "io:read", 2]',
              'return ["io:read" if first & 2 else "io:write", 2]'),),
            {"ports", "the prefix 66"}, "tells IN from OUT"),
        "forgets the SIB byte": (
            (("        length += 1\n        rm = code[3] & 7\n", "        pass\n"),),
            {"memory operands with SIB"}, "SIB"),
        "takes rm for the control register": (
            (('f"mov-cr{reg}", 3] if reg in', 'f"mov-cr{rm}", 3] if rm in'),), {"control registers", "the prefix 66"},
                                              "bits 3 to 5"),
        "has eight-byte displacements": (
            (("2: 4}[mod]", "2: 8}[mod]"),), {"memory operands without SIB", "memory operands with SIB"},
                                         "displacement"),
        "does not count the prefix": (
            (("rest[1] + 1]", "rest[1]]"),), {"the prefix 66"}, "counts as one byte"),
        "decodes everything": (
            (('{2: "lgdt", 3: "lidt", 7: "invlpg"}.get(reg)', '{2: "lgdt", 3: "lidt"}.get(reg, "invlpg")'),),
            {"other instructions"}, "must give None"),
        "returns no length": (
            (("return [plain[first], 1]", "return plain[first]"),),
            {"one-byte and two-byte instructions", "other instructions"}, "without operands"),
    },
    "ex02-emulate": {
        "does not move EIP": (
            (('after["eip"] = (vcpu["eip"] + instruction["size"]) % 2**32\n    ', ""),),
            {"CLI", "STI", "who may", "control registers", "a kernel runs on it"}, "no progress"),
        "forgets the shadow of STI": (
            (('after["shadow"] = not vcpu["interrupts"]\n        ', ""),), {"STI"}, "holds them back"),
        "always sets the shadow": (
            (('after["shadow"] = not vcpu["interrupts"]', 'after["shadow"] = True'),), {"STI"}, "holds nothing back"),
        "asks nobody": (
            (('if vcpu["cpl"] > (vcpu["iopl"] if name in ("cli", "sti") else 0):\n        return {"fault": [13, 0]}\n '
              '   ', ""),),
            {"who may"}, "above iopl"),
        "wants ring 0 for CLI, too": (
            (('(vcpu["iopl"] if name in ("cli", "sti") else 0)', "0"),), {"who may"}, "allowed where"),
        "takes the source for the target": (
            (("target, source = operands", "source, target = operands"),), {"control registers", "a kernel runs on it"},
            "first operand is the target"),
        "does not halt": (
            (('after["halted"] = True', "pass"),), {"a kernel runs on it"}, ""),
    },
    "ex02-reflect": {
        "pushes in the wrong order": (
            (('[vcpu["eflags"], vcpu["cs"], vcpu["eip"]]', '[vcpu["eip"], vcpu["cs"], vcpu["eflags"]]'),),
            {"system calls of a running kernel", "from ring 0", "the flags", "a closed gate"}, "order"),
        "always exchanges the stack": (
            (('if vcpu["cpl"] > 0:\n        pushed', "if True:\n        pushed"),), {"from ring 0"}, "the stack stays"),
        "takes a trap gate for an interrupt gate": (
            (("(0 if gate >> 40 & 1 else 1 << 9)", "1 << 9"),), {"the flags"}, "trap gate"),
        "pushes the new flags": (
            (('pushed += [vcpu["eflags"],', 'pushed += [vcpu["eflags"] & ~0x4300,'),),
            {"system calls of a running kernel", "from ring 0", "the flags", "a closed gate"}, ""),
        "opens every gate": (
            (('if gate >> 45 & 3 < vcpu["cpl"]:\n        return {"fault": [13, vector * 8 + 2]}\n    ', ""),),
            {"a closed gate"}, "is closed"),
        "forgets the bit of the error code": (
            (("vector * 8 + 2", "vector * 8"),), {"a closed gate"}, "vector * 8 + 2"),
    },
    "ex02-shadow": {
        "ignores the directory": (
            ((_RIGHTS, "rights = page & (W | U)"),), {"rights"}, "both allow"),
        "lets the kernel write to read-only pages": (
            (("write and not rights & W", "write and user and not rights & W"),), {"rights", "error codes"},
                                                     "read-only"),
        "makes every page dirty": (
            (("(D if write else 0)", "D"),), {"the dirty bit"}, "must not set D"),
        "makes clean pages writable": (
            (("rights & W and page & D and not traced", "rights & W and not traced"),),
            {"the dirty bit"}, "not be writable"),
        "forgets traced pages": (
            ((" and not traced", ""),), {"traced pages", "a kernel runs on it"}, "never writable"),
        "forgets NX": (
            (("page & (FRAME | NX)", "page & FRAME"),), {"accessed and no-execute"}, "NX"),
        "forgets A in the directory": (
            (("directory |= A\n    ", ""),), {"accessed and no-execute"}, "directory's entry as well"),
        "forgets bit 0 of the error code": (
            (('{"fault": code | 1}', '{"fault": code}'),), {"rights", "error codes"}, "bit 0"),
    },
}
