/* A guest whose interrupt flag is a byte of memory that its monitor sees, too (shared_flag.py): paravirtualization at its
 * smallest. It runs n critical sections, each with another inside, and then waits in a section for a timer interrupt. */
#include <pvlab.h>

/* enabled: may an interrupt be delivered? pending: one waits for it. The monitor reads the first and writes both. */
struct { volatile uint8_t enabled, pending; } shared;

/* Let the monitor look: it delivers what is pending, if enabled says so. */
static inline void call_monitor(void) { __asm__ volatile("int $0x82" : : : "memory"); }

/* THE TWO FUNCTIONS */

enum { CODE = 0x08, DATA = 0x10, TIMER = 0x20, ROUNDS = 3 };
static const uint64_t gdt[] __attribute__((aligned(8))) = { 0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF };
static uint64_t idt[TIMER + 1] __attribute__((aligned(8)));
static volatile uint32_t ticks;
struct __attribute__((packed)) pointer { uint16_t limit; uint32_t base; };

extern char tick_stub[];
__asm__(".text\ntick_stub: pusha; cld; call tick; popa; iret");

__attribute__((used)) static void tick(void)
{
    ticks++;
    pv_out8(0x20, 0x20);                /* end of interrupt */
}

static void set_up(void)
{
    uint64_t handler = (uint32_t)tick_stub;
    idt[TIMER] = (handler & 0xFFFF0000) << 32 | 0x8E00ull << 32 | CODE << 16 | (handler & 0xFFFF);
    struct pointer global = { sizeof gdt - 1, (uint32_t)gdt }, interrupts = { sizeof idt - 1, (uint32_t)idt };
    __asm__ volatile("lgdt %0; ljmp %1, $1f; 1: mov %2, %%ds; mov %2, %%es; mov %2, %%ss"
                     : : "m"(global), "i"(CODE), "r"(DATA) : "memory");
    __asm__ volatile("lidt %0" : : "m"(interrupts) : "memory");
    static const uint8_t controller[] = { TIMER, 4, 1, 0xFF };  /* first vector, cascade, 8086 mode, all lines off */
    pv_out8(0x20, 0x11);
    for (unsigned i = 0; i < sizeof controller; i++)
        pv_out8(0x21, controller[i]);
    shared.enabled = 1;
}

static void report(const char *what, uint32_t count)
{
    pv_puts(what);
    pv_putc('=');
    pv_print_unsigned(count);
    pv_putc(' ');
}

int main(void)
{
    uint32_t n = pv_param("n", 1), closed = 0, nested = 0, reopened = 0, held = 0, at_once = 0;
    set_up();
    for (uint32_t i = 0; i < n; i++) {
        uint32_t outer = interrupts_save();
        closed += !shared.enabled;
        uint32_t inner = interrupts_save();
        interrupts_restore(inner);
        nested += !shared.enabled;
        interrupts_restore(outer);
        reopened += shared.enabled == 1;
    }
    pv_out8(0x43, 0x34);                /* the timer: an interrupt each 400 of its ticks, some 335,000 instructions */
    pv_out8(0x40, 400 & 0xFF);
    pv_out8(0x40, 400 >> 8);
    pv_out8(0x21, 0xFE);
    for (int i = 0; i < ROUNDS; i++) {
        uint32_t were_on = interrupts_save(), before = ticks;
        for (uint32_t patience = 200000; patience && !shared.pending; patience--)
            ;
        held += ticks == before;
        interrupts_restore(were_on);
        at_once += ticks == before + 1;
    }
    pv_out8(0x21, 0xFF);
    report("closed", closed);
    report("nested", nested);
    report("reopened", reopened);
    report("held", held);
    report("at-once", at_once);
    pv_putc('\n');
    return 0;
}
