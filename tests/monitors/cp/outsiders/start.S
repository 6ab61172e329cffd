# Start-up and interruption handlers: what a test kernel for QEMU and KVM does before its C code.
        .section .init, "ax"
        .globl  _start
_start: slr     %r0, %r0
        lhi     %r1, 2
        sigp    %r1, %r0, 0x12          # set architecture: z/Architecture
        sam64
        larl    %r15, stack_top
        aghi    %r15, -160
        larl    %r1, initial_psw
        lpswe   0(%r1)
running:
        larl    %r2, bss_start
        larl    %r3, bss_end
0:      cgrje   %r2, %r3, 1f
        mvi     0(%r2), 0
        la      %r2, 1(%r2)
        j       0b
1:      larl    %r1, program_psw
        mvc     0x1d0(16, %r0), 0(%r1)
        larl    %r1, external_psw
        mvc     0x1b0(16, %r0), 0(%r1)
        larl    %r1, svc_psw
        mvc     0x1c0(16, %r0), 0(%r1)
        larl    %r1, initial_cr0
        lctlg   %c0, %c0, 0(%r1)
        brasl   %r14, main
        brasl   %r14, finish
2:      j       2b
        .org    0x480
        .globl  command_line
command_line:
        .skip   0x380

        .text
        .macro  SAVE
        stmg    %r0, %r15, 0x280
        aghi    %r15, -320
        .endm
        .macro  RESTORE old
        lmg     %r0, %r15, 0x280
        lpswe   \old
        .endm
program_handler:
        SAVE
        brasl   %r14, on_program
        RESTORE 0x150
external_handler:
        SAVE
        brasl   %r14, on_external
        RESTORE 0x130
svc_handler:
        SAVE
        brasl   %r14, on_svc
        RESTORE 0x140

        .globl  load_reset              # DIAGNOSE X'308' with this subcode; comes back by the PSW at 0. %r2: 1 if it did
load_reset:
        stmg    %r0, %r15, 0x280
        stctg   %c0, %c15, 0x400
        epsw    %r0, %r1
        st      %r0, 0x380
        st      %r1, 0x384
        larl    %r1, reset_psw
        lg      %r0, 0(%r1)
        larl    %r1, 3f
        ogr     %r0, %r1
        stg     %r0, 0
        diag    %r0, %r2, 0x308
        lghi    %r2, 0
        br      %r14
3:      lctlg   %c0, %c15, 0x400
        lmg     %r0, %r15, 0x280
        lghi    %r2, 1
        larl    %r0, 4f
        stg     %r0, 0x388
        lpswe   0x380
4:      br      %r14

        .balign 8
reset_psw:      .quad 0x0008000180000000
initial_psw:    .quad 0x0000000180000000, running
program_psw:    .quad 0x0000000180000000, program_handler
external_psw:   .quad 0x0000000180000000, external_handler
svc_psw:        .quad 0x0000000180000000, svc_handler
initial_cr0:    .quad 0x0000000000040000
