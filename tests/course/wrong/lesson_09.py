"""Wrong solutions of lesson 09's exercises."""
_RULE = "(now - event - 1) % 65536 < (now - before) % 65536"

WRONG = {
    "ex09-event": {
        "compares the numbers themselves": (
            ((_RULE, "before <= event < now"),), {"counters that begin again"}, "modulo 65,536"),
        "counts the entry that is not there yet": (
            ((_RULE, "(event - before) % 65536 <= (now - before) % 65536"),),
            {"usual counters", "counters that begin again", "nothing added"}, "now does not"),
        "looks at the new index alone": (
            ((_RULE, "(now - event - 1) % 65536 < 32768"),),
            {"usual counters", "counters that begin again", "nothing added"}, "before does"),
        "answers with a number": (
            ((_RULE, "int(" + _RULE + ")"),), {"usual counters", "counters that begin again", "nothing added"}, ""),
    },
    "ex09-budget": {
        "takes more requests, to be sure": (
            (("### END", "chosen['depth'] += 3\n### END"),), {"no more depth than needed"}, "smaller depth"),
        "divides by two exits, not three": (
            (("### END", "chosen['depth'] = chosen['depth'] * 2 // 3\n### END"),),
                                            {"depth", "no more depth than needed"},
            "three exits"),
        "moderates twice as long as needed": (
            (("### END", "chosen['moderation'] *= 2\n### END"),), {"no more moderation than needed"},
                                              "shorter moderation"),
        "takes the gap for the moderation": (
            (("### END", "chosen['moderation'] //= 3\n### END"),), {"moderation", "no more moderation than needed"},
                                             "which some packets share"),
        "suppresses nothing": (
            (("### END", "chosen['suppression'] = 'none'\n### END"),), {"suppression"}, "more exits than the budget"),
        "writes microseconds as a text": (
            (("### END", "chosen['moderation'] = str(chosen['moderation'])\n### END"),),
            {"moderation", "no more moderation than needed"}, "of type int"),
    },
    "ex09-request": {
        "lets no request reach the disk's end": (
            (("> disk[\"sectors\"]", ">= disk[\"sectors\"]"),),
            {"reads and writes", "flush and other types", "the disk's end", "requests of a wrong form"}, "last sector"),
        "forgets read-only disks": (
            ((' or kind == 1 and disk["read_only"]', ""),), {"requests of a wrong form"}, "read-only"),
        "rounds sectors down": (
            (("if size % 512 or other", "if other"),), {"requests of a wrong form"}, "whole sectors"),
        "calls unknown types an error": (
            (('return {"status": 2,', 'return {"status": 1,'),), {"flush and other types"}, "status 2"),
        "reads the header from the wrong end": (
            (('header[8:], "little"', 'header[8:], "big"'),),
            {"reads and writes", "a kernel's disk", "flush and other types", "the disk's end",
             "requests of a wrong form"}, "carried out"),
        "forgets the end of the disk": (
            (("or other or beyond or", "or other or"),), {"the disk's end"}, "beyond"),
    },
    "ex09-chains": {
        "forgets that counters begin again": (
            (('(available["index"] - taken) % 65536', 'available["index"] - taken'),), {"counters that begin again"},
                                              "modulo 65,536"),
        "takes one chain at a time": (
            (("    chains = []", "    chains, count = [], min(count, 1)"),),
                                      {"several chains", "counters that begin again"},
            "from taken up to index"),
        "does not check numbers": (
            (("number >= size or len(parts) == size", "len(parts) == size"),), {"descriptors that are not there"}, ""),
        "takes any order of parts": (
            (("if parts and parts[-1][2] and not writes:", "if False:"),), {"parts in the wrong order"},
                                     "must be refused"),
        "believes the index": (
            (("if count > size:", "if False:"),), {"an index that jumps"}, "more chains than"),
        "mixes up the flags": (
            (("bool(flags & 2)", "bool(flags & 1)"),),
            {"one chain", "several chains", "counters that begin again", "a kernel's disk", "loops",
             "descriptors that are not there",
             "an index that jumps", "parts in the wrong order"}, ""),
    },
}
