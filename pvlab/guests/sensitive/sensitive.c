/* sensitive: what the sensitive instructions of the x86 show a kernel.
 *
 * An instruction is sensitive if what it does depends on the CPU's privileged state, or changes it. A monitor that runs
 * a kernel outside ring 0 must get hold of each of them, and counts on the CPU to trap. Robin and Irvine went through
 * the Pentium's instructions in 2000 and found those below to be sensitive and yet not privileged: outside ring 0 they
 * do not trap, but quietly do something else.
 *
 * This guest is a ring 0 kernel, as far as it knows. It sets up descriptor tables of its own, executes each of those
 * instructions and reports what it saw, one line each: run it natively and under a monitor, and compare. */
#include <pvlab.h>

enum { CODE = 0x08, DATA = 0x10, TASK = 0x18, LOCAL = 0x20, GATE = 0x28, SELECTORS = 0x30 };
enum { IF = 1 << 9, TRUSTED_INT = 0x40 };

/* entry.S */
extern char fault_stubs[], trusted_stub[], gate_target[];
uint32_t attempt(void (*probe)(uint32_t seen[2]), uint32_t seen[2]);    /* 0, or 1 + the number of its exception */

static uint64_t gdt[SELECTORS / 8] __attribute__((aligned(4096)));
static uint64_t idt[256] __attribute__((aligned(4096)));
static uint32_t task_state[26] __attribute__((aligned(4096))), local_table[2];

struct __attribute__((packed)) pointer { uint16_t limit; uint32_t base; };

/* --- the kernel's tables --------------------------------------------------------------------------------------- */

static uint64_t system_descriptor(const void *at, uint32_t size, uint64_t type)
{
    uint64_t base = (uint32_t)at;
    return (base & 0xFF000000) << 32 | type << 40 | (base & 0xFFFFFF) << 16 | (size - 1);
}

static uint64_t gate(const char *target, uint64_t type)
{
    uint64_t address = (uint32_t)target;
    return (address & 0xFFFF0000) << 32 | type << 40 | CODE << 16 | (address & 0xFFFF);
}

static void set_up(void)
{
    gdt[CODE / 8] = 0x00CF9B000000FFFF;         /* flat: base 0, limit 4 GiB, privilege level 0 */
    gdt[DATA / 8] = 0x00CF93000000FFFF;
    gdt[TASK / 8] = system_descriptor(task_state, sizeof task_state, 0x89);
    gdt[LOCAL / 8] = system_descriptor(local_table, sizeof local_table, 0x82);
    gdt[GATE / 8] = gate(gate_target, 0x8C);
    for (int vector = 0; vector < 32; vector++)
        idt[vector] = gate(fault_stubs + 16 * vector, 0x8E);
    idt[TRUSTED_INT] = gate(trusted_stub, 0x8E);

    struct pointer global = { sizeof gdt - 1, (uint32_t)gdt }, interrupts = { sizeof idt - 1, (uint32_t)idt };
    __asm__ volatile("lgdt %0; ljmp %1, $1f; 1: mov %2, %%ds; mov %2, %%es; mov %2, %%ss"
                     : : "m"(global), "i"(CODE), "r"(DATA) : "memory");
    __asm__ volatile("lidt %0" : : "m"(interrupts) : "memory");
    __asm__ volatile("lldt %w0" : : "r"(LOCAL));
    __asm__ volatile("ltr %w0" : : "r"(TASK));
    /* The task-switched bit, which SMSW will show, beside those of protected mode and the coprocessor's kind. */
    __asm__ volatile("mov %0, %%cr0" : : "r"(0x19));
    pv_out8(0x21, 0xFF);                        /* no interrupt from a device: some probes turn interrupts on */
    pv_out8(0xA1, 0xFF);
}

/* Whether interrupts are on, asked in the one way that cannot deceive: an interrupt is delivered by the CPU, or by
 * whoever plays its part, and the flags and CS that it saves are those with which the kernel goes on. */
static uint32_t trusted(uint32_t *cs)
{
    uint32_t flags, code;
    __asm__ volatile("int %2" : "=a"(flags), "=d"(code) : "i"(TRUSTED_INT) : "memory");
    if (cs)
        *cs = code;
    return flags;
}

static uint32_t interrupts_on(void) { return (trusted(NULL) & IF) != 0; }

/* --- the probes: the system registers -------------------------------------------------------------------------- */

static void sgdt(uint32_t seen[2])
{
    struct pointer table;
    __asm__ volatile("sgdt %0" : "=m"(table));
    seen[0] = table.limit, seen[1] = table.base;
}

static void sidt(uint32_t seen[2])
{
    struct pointer table;
    __asm__ volatile("sidt %0" : "=m"(table));
    seen[0] = table.limit, seen[1] = table.base;
}

static void sldt(uint32_t seen[2])
{
    uint16_t selector;
    __asm__ volatile("sldt %0" : "=m"(selector));
    seen[0] = selector;
}

/* The low 16 bits of CR0. */
static void smsw(uint32_t seen[2])
{
    uint16_t word;
    __asm__ volatile("smsw %0" : "=m"(word));
    seen[0] = word;
}

/* PUSHF after STI and after CLI. */
static void pushf(uint32_t seen[2])
{
    uint32_t on, off;
    __asm__ volatile("sti; pushf; cli; pushf; pop %1; pop %0" : "=r"(on), "=r"(off) : : "memory");
    seen[0] = (on & IF) != 0, seen[1] = (off & IF) != 0;
}

/* POPF with interrupts off and IF set in what it pops, and the other way round. */
static void popf(uint32_t seen[2])
{
    __asm__ volatile("cli; push %0; popf" : : "r"(IF | 2) : "memory", "cc");
    seen[0] = interrupts_on();
    __asm__ volatile("sti; push %0; popf" : : "r"(2) : "memory", "cc");
    seen[1] = interrupts_on();
    __asm__ volatile("cli");
}

/* --- the probes: the protection system ------------------------------------------------------------------------- */

static void lar(uint32_t seen[2])
{
    __asm__ volatile("xor %1, %1; lar %2, %1; setz %b0" : "+q"(seen[0]), "=&r"(seen[1]) : "r"(CODE) : "cc");
    seen[1] &= 0x00F0FF00;                      /* the other bits are undefined */
}

static void lsl(uint32_t seen[2])
{
    __asm__ volatile("xor %1, %1; lsl %2, %1; setz %b0" : "+q"(seen[0]), "=&r"(seen[1]) : "r"(CODE) : "cc");
}

static void verr(uint32_t seen[2]) { __asm__ volatile("verr %w1; setz %b0" : "+q"(seen[0]) : "r"(DATA) : "cc"); }
static void verw(uint32_t seen[2]) { __asm__ volatile("verw %w1; setz %b0" : "+q"(seen[0]) : "r"(DATA) : "cc"); }

/* Load ES in two ways and read a word through it. */
static const uint32_t word = 0x1234;

static void pop_es(uint32_t seen[2])
{
    uint32_t read;
    __asm__ volatile("push %1; pop %%es; mov %%es:%2, %0" : "=r"(read) : "i"(DATA), "m"(word) : "memory");
    seen[0] = read == word;
}

static void mov_to_es(uint32_t seen[2])
{
    uint32_t read;
    __asm__ volatile("mov %1, %%es; mov %%es:%2, %0" : "=&r"(read) : "r"(DATA), "m"(word) : "memory");
    seen[0] = read == word;
}

static void push_cs(uint32_t seen[2])
{
    __asm__ volatile("push %%cs; pop %0" : "=r"(seen[0]) : : "memory");
    seen[1] = seen[0] & 3;
}

static void push_ss(uint32_t seen[2])
{
    __asm__ volatile("push %%ss; pop %0" : "=r"(seen[0]) : : "memory");
    seen[1] = seen[0] & 3;
}

static void mov_from_cs(uint32_t seen[2])
{
    __asm__ volatile("mov %%cs, %0" : "=r"(seen[0]));
    seen[1] = seen[0] & 3;
}

/* A far call saves CS on the stack: the code that is called looks at it. */
static void call_far(uint32_t seen[2])
{
    __asm__ volatile("lcall %1, $gate_target" : "=a"(seen[0]) : "i"(CODE) : "memory");
}

static void call_gate(uint32_t seen[2])
{
    __asm__ volatile("lcall %1, $0" : "=a"(seen[0]) : "i"(GATE) : "memory");
}

static void jmp_far(uint32_t seen[2])
{
    __asm__ volatile("ljmp %1, $1f; jmp 2f; 1: inc %0; 2:" : "+r"(seen[0]) : "i"(CODE) : "cc");
}

static void ret_far(uint32_t seen[2])
{
    __asm__ volatile("push %1; push $1f; lret; 1: inc %0" : "+r"(seen[0]) : "i"(CODE) : "memory", "cc");
}

static void int_n(uint32_t seen[2]) { trusted(&seen[0]); }

static void str(uint32_t seen[2])
{
    uint16_t selector;
    __asm__ volatile("str %0" : "=m"(selector));
    seen[0] = selector;
}

/* --- and one that the list lacks: IRET traps in no ring, and outside ring 0 it leaves IF as it is --------------- */

static void iret(uint32_t seen[2])
{
    __asm__ volatile("cli; push %0; push %1; push $1f; iret; 1:" : : "r"(IF | 2), "i"(CODE) : "memory", "cc");
    seen[0] = interrupts_on();
    __asm__ volatile("cli");
}

/* The same with the CS that the CPU itself shows: what a kernel gets that asks for its own selector. */
static void iret_push_cs(uint32_t seen[2])
{
    __asm__ volatile("cli; push %0; push %%cs; push $1f; iret; 1:" : : "r"(IF | 2) : "memory", "cc");
    seen[0] = interrupts_on();
    __asm__ volatile("cli");
}

/* --- the report ------------------------------------------------------------------------------------------------ */

/* In Robin and Irvine's order. What a probe saw is shown with so many hexadecimal digits, a single one without 0x. */
static const struct {
    const char *name;
    void (*run)(uint32_t seen[2]);
    struct { const char *name; int digits; } shows[2];
} probes[] = {
    { "sgdt", sgdt, { { "limit", 4 }, { "base", 8 } } },
    { "sidt", sidt, { { "limit", 4 }, { "base", 8 } } },
    { "sldt", sldt, { { "selector", 4 } } },
    { "smsw", smsw, { { "word", 4 } } },
    { "pushf", pushf, { { "if-after-sti", 1 }, { "if-after-cli", 1 } } },
    { "popf", popf, { { "if-after-set", 1 }, { "if-after-clear", 1 } } },
    { "lar", lar, { { "valid", 1 }, { "rights", 8 } } },
    { "lsl", lsl, { { "valid", 1 }, { "limit", 8 } } },
    { "verr", verr, { { "readable", 1 } } },
    { "verw", verw, { { "writable", 1 } } },
    { "pop-es", pop_es, { { "usable", 1 } } },
    { "push-cs", push_cs, { { "selector", 4 }, { "rpl", 1 } } },
    { "push-ss", push_ss, { { "selector", 4 }, { "rpl", 1 } } },
    { "call-far", call_far, { { "saved-cs", 4 } } },
    { "call-gate", call_gate, { { "saved-cs", 4 } } },
    { "jmp-far", jmp_far, { { "arrived", 1 } } },
    { "int", int_n, { { "saved-cs", 4 } } },
    { "ret-far", ret_far, { { "arrived", 1 } } },
    { "str", str, { { "selector", 4 } } },
    { "mov-from-cs", mov_from_cs, { { "selector", 4 }, { "rpl", 1 } } },
    { "mov-to-es", mov_to_es, { { "usable", 1 } } },
    { "iret", iret, { { "if", 1 } } },
    { "iret-push-cs", iret_push_cs, { { "if", 1 } } },
};

enum { PROBES = sizeof probes / sizeof *probes };

/* One row for each probe: 1 + the number of the exception that it met, or 0, and what it saw. */
PV_RESULT static uint32_t results[PROBES][3];

static const char *const exceptions[] = {
    "divide-error", "debug", "nmi", "breakpoint", "overflow", "bound-range", "invalid-opcode", "device-not-available",
    "double-fault", "coprocessor-overrun", "invalid-tss", "segment-not-present", "stack-fault", "general-protection",
    "page-fault",
};

static void report(int i)
{
    uint32_t seen[2] = { 0, 0 };
    uint32_t fault = attempt(probes[i].run, seen);
    results[i][0] = fault, results[i][1] = seen[0], results[i][2] = seen[1];

    pv_puts(probes[i].name);
    if (fault) {
        pv_puts(" fault=");
        pv_puts(fault <= sizeof exceptions / sizeof *exceptions ? exceptions[fault - 1] : "another");
    } else for (int k = 0; k < 2 && probes[i].shows[k].name; k++) {
        pv_putc(' ');
        pv_puts(probes[i].shows[k].name);
        pv_puts(probes[i].shows[k].digits > 1 ? "=0x" : "=");
        for (int digit = probes[i].shows[k].digits - 1; digit >= 0; digit--)
            pv_putc("0123456789abcdef"[seen[k] >> 4 * digit & 15]);
    }
    pv_putc('\n');
}

int main(void)
{
    int reported = 0;
    set_up();
    for (int i = 0; i < PROBES; i++)
        if (pv_param_is("only", "all") || !pv_param_text("only") || pv_param_is("only", probes[i].name)) {
            report(i);
            reported++;
        }
    if (!reported)
        pv_puts("sensitive: no such instruction\n");
    return !reported;
}
