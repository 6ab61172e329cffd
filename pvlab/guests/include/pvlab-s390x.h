/* What pvlab.h offers on s390x, and a little more: the instructions that a small operating system needs.
 *
 * main runs in supervisor state (so it believes), in 64-bit mode, DAT off, interruptions disabled, on a stack of
 * 64 KiB. Text goes to the service processor's console, a line at a time. main's return ends the run: 0 stops the CPU, anything
 * else is a disabled wait with that number as its address. */
#ifndef PVLAB_S390X_H
#define PVLAB_S390X_H

/* A program-status word: mask and address (Principles of Operation, chapter 4). */
struct psw {
    uint64_t mask, address;
};

#define PSW_IO 0x0200000000000000ull
#define PSW_EXTERNAL 0x0100000000000000ull
#define PSW_WAIT 0x0002000000000000ull
#define PSW_PROBLEM 0x0001000000000000ull
#define PSW_64BIT 0x0000000180000000ull

/* Low core, real address 0 (Principles of Operation, "Assigned Storage Locations"). */
struct low_core {
    uint8_t before[0x80];
    uint32_t external_parameter;            /* 0x80 */
    uint16_t external_cpu, external_code;   /* 0x84 */
    uint16_t svc_length, svc_code;          /* 0x88 */
    uint16_t program_length, program_code;  /* 0x8c */
    uint8_t between[0xb8 - 0x90];
    uint32_t io_subchannel, io_parameter, io_word; /* 0xb8 */
    uint8_t behind[0x120 - 0xc4];
    struct psw restart_old, external_old, svc_old, program_old, machine_old, io_old; /* 0x120 */
    uint8_t more[0x1a0 - 0x180];
    struct psw restart_new, external_new, svc_new, program_new, machine_new, io_new; /* 0x1a0 */
    uint8_t rest[0x11b8 - 0x200];
    uint64_t external_token; /* 0x11b8 */
};

/* Real address 0, which a C compiler takes for no address at all unless it cannot see it. */
static inline volatile struct low_core *low_core(void)
{
    volatile struct low_core *at;
    __asm__("lghi %0, 0" : "=d"(at));
    return at;
}

/* What interrupts a guest: it may define any of these four; each begins and ends with interruptions disabled. Where a
 * guest has none of its own, it ends in a disabled wait. An external handler asks pv_service_signal first whether the
 * interruption is the console's. */
int pv_service_signal(void);
void pv_on_external(void);
void pv_on_svc(void);
void pv_on_program(void);
void pv_on_io(void);

void pv_putc(char character);
void pv_flush(void);                    /* print what stands in an unfinished line */
__attribute__((noreturn)) void pv_exit(uint64_t status);

/* Wait for an interruption of these kinds (PSW_IO, PSW_EXTERNAL), with the wait bit on: the handler must call
 * pv_wake for its old PSW, or the wait goes on. */
void pv_wait(uint64_t kinds);

static inline void pv_wake(volatile struct psw *old)
{
    old->mask &= ~(PSW_WAIT | PSW_IO | PSW_EXTERNAL);
}

/* The time-of-day clock; shifted right by 12 bits, microseconds. */
static inline uint64_t pv_clock(void)
{
    uint64_t now;
    __asm__ volatile("stck %0" : "=Q"(now) : : "cc");
    return now;
}

/* ASCII to EBCDIC (code page 037) and back, in place. */
void pv_to_ebcdic(uint8_t *text, size_t size);
void pv_to_ascii(uint8_t *text, size_t size);

/* DIAGNOSE: code, and what goes into and comes out of Rx, Rx+1, Ry, Ry+1 (registers 2, 3, 4, 5). The condition code. */
struct diagnose {
    uint64_t rx, rx1, ry, ry1;
};


#define PV_DIAGNOSE(code, registers)                                                                          \
    ({                                                                                                        \
        register uint64_t pv_rx __asm__("2") = (registers)->rx, pv_rx1 __asm__("3") = (registers)->rx1;      \
        register uint64_t pv_ry __asm__("4") = (registers)->ry, pv_ry1 __asm__("5") = (registers)->ry1;      \
        int pv_cc;                                                                                            \
        __asm__ volatile("diag %%r2, %%r4, " #code "\n\tipm %0\n\tsrl %0, 28"                                 \
                         : "=d"(pv_cc), "+d"(pv_rx), "+d"(pv_rx1), "+d"(pv_ry), "+d"(pv_ry1)                  \
                         :                                                                                    \
                         : "cc", "memory");                                                                   \
        (registers)->rx = pv_rx, (registers)->rx1 = pv_rx1, (registers)->ry = pv_ry, (registers)->ry1 = pv_ry1; \
        pv_cc;                                                                                                \
    })

/* Control registers, storing and loading one. */
#define PV_STCTG(number)                                                         \
    ({                                                                           \
        uint64_t pv_value;                                                       \
        __asm__ volatile("stctg " #number ", " #number ", %0" : "=Q"(pv_value)); \
        pv_value;                                                                \
    })
#define PV_LCTLG(number, value)                                                                  \
    ({                                                                                           \
        uint64_t pv_value = (value);                                                             \
        __asm__ volatile("lctlg " #number ", " #number ", %0" : : "Q"(pv_value) : "memory");    \
    })

#endif
