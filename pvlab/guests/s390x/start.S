# The first instructions of an s390x guest, and its interruption handlers.
#
# It is entered as QEMU and CP enter an ELF file: 64-bit mode, supervisor state, interruptions disabled, DAT off. C code
# keeps to the s390x ABI: the stack in %r15, with 160 bytes for the callee; arguments and results from %r2.

        .section .text.head, "ax"
        .globl  _start
_start: larl    %r15, stack_top - 160
        larl    %r1, new_psws           # the new PSWs stand from 0x1a0 to 0x1ff
        mvc     0x1a0(96, %r0), 0(%r1)
        larl    %r2, text
        stgrl   %r2, pv_command_line
        brasl   %r14, main
        brasl   %r14, pv_exit

        .org    0x480
text:   .skip   896                     # the loader writes the command line here: KERN_PARM_AREA of QEMU's ipl.c

        # A handler for each class of interruption: registers to the stack, a C function, and back to the old PSW.
        .macro  handler name, old
        .balign 8
\name:  aghi    %r15, -280
        stmg    %r0, %r14, 160(%r15)
        brasl   %r14, pv_on_\name
        lmg     %r0, %r14, 160(%r15)
        aghi    %r15, 280
        lpswe   \old
        .endm

        .text
        handler external, 0x130
        handler svc, 0x140
        handler program, 0x150
        handler io, 0x170

        .section .rodata
        .balign 8
        .macro  new_psw address
        .quad   0x0000000180000000, \address
        .endm
new_psws:
        .quad   0x0002000180000000, 0xdead01    # restart: a disabled wait
        new_psw external
        new_psw svc
        new_psw program
        .quad   0x0002000180000000, 0xdead04    # machine check: the same
        new_psw io

        .bss
        .balign 16
stack:  .skip   65536
stack_top:
