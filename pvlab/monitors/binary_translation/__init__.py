"""Binary translation: the guest's kernel is rewritten as it runs, and never executed as it is.

VMware's answer (1999) to the instructions of lesson 03 that do the wrong thing without a trap, after Adams and Agesen,
"A Comparison of Software and Hardware Techniques for x86 Virtualization" (ASPLOS 2006). The kernel's code is read a
unit at a time, and a translation is put into a cache, from where the real CPU runs it in ring 1. What trap-and-emulate
does stays as it was: shadow page tables, reflected events, the emulator, which is what the callouts call. User code
runs directly. Read the files in this order:

    classify      what each guest instruction is to the translator
    code, emit, emulations     what is written into the cache for it
    translate     a unit: at most twelve instructions, or up to the first that ends it
    cache         where units stand; branches chained, the hash table for returns and indirect branches
    vmem          the virtual CPU as emitted code sees it
    space         where all of this stands in the guest's address space
    pages         which guest pages units come from, and when they stop being true
    adaptive      other translations for stores that trap often
    monitor       in and out of the cache
    explain, statistics        a unit to look at; a run's figures

Whenever the cache is left, the virtual CPU is made whole first: the guest's own EIP, registers and flags, wherever in a
sequence the stop was. So a fault is the guest's own, an interrupt arrives between two guest instructions, and
everything behind that point is shared with trap-and-emulate. Guest instructions are counted exactly: the engine is told
for each block of the cache how many it stands for.

Some guest code runs as it is, with the engine stopping before each sensitive instruction (see on_special): user code,
rings 1 and 2, single steps, 16-bit code, and a kernel whose code, data or stack segment has a base. Real CPUs cannot
stop like that. VMware translated such code, too, and left SGDT and its like in user code as a hole.
"""
from pvlab.monitors.binary_translation.monitor import BinaryTranslation

__all__ = ["BinaryTranslation"]
