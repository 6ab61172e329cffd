/* A program of two tasks, under a control program that has less real storage than the guest has pages. The first task
 * reads n pages that are on CP's paging disk. The second only computes: n times as long as one page takes to come.
 *
 *     wait         CP brings each page in, and meanwhile the whole virtual machine stands still
 *     handshake    CP says what it is doing (DIAGNOSE X'258'), and the guest lets its second task run */
#include <pvlab.h>

enum {
    PAGE = 4096, MOST = 16, OTHERS = 48,
    CP_SERVICE = 0x2603, BEGUN = 0x0600, DONE = 0x0680, SERVICE_MASK = 0x200,
    UNITS = 1000,                       /* units of the second task's work for each page: */
    UNIT = 10000,                       /* instructions, so that both take 10 milliseconds */
};

PV_RESULT struct {
    uint32_t sum, units, told, meanwhile;   /* pseudo page faults, and units of work done while pages came */
} result;

static uint8_t pages[MOST][PAGE] __attribute__((aligned(4096)));
static uint8_t others[OTHERS][PAGE] __attribute__((aligned(4096)));
static uint32_t units_left;
static volatile int page_is_there;
static uint64_t token = 0x70CE;

static struct {
    uint16_t code, function, length, version;
    uint64_t token, select, compare, zarch;
} handshake __attribute__((aligned(8)));

static void work(void)
{
    uint64_t count = UNIT;
    units_left--;
    result.units++;
    __asm__ volatile("1: brctg %0, 1b" : "+d"(count) : : "cc");
}

void pv_on_external(void)
{
    volatile struct low_core *low = low_core();
    if (low->external_code != CP_SERVICE) {
        pv_service_signal();
        return;
    }
    if (low->external_cpu == DONE) {
        page_is_there = 1;
        pv_wake(&low->external_old);
        return;
    }
    /* BEGUN: the first task cannot go on. The other one can, and is interrupted when the page has come. */
    uint64_t mask = low->external_old.mask, address = low->external_old.address;
    uint8_t saved;
    result.told++;
    page_is_there = 0;
    __asm__ volatile("stosm %0, 1" : "=Q"(saved) : : "memory");      /* external interruptions on */
    while (!page_is_there && units_left) {
        work();
        result.meanwhile++;
    }
    __asm__ volatile("stnsm %0, 0" : "=Q"(saved) : : "memory");
    while (!page_is_there)
        pv_wait(PSW_EXTERNAL);
    low->external_old.mask = mask;
    low->external_old.address = address;
}

static void shake_hands(uint16_t function)
{
    handshake.code = 0x258, handshake.function = function, handshake.length = 5, handshake.version = 2;
    handshake.token = function ? 0 : (uintptr_t)&token;
    handshake.select = handshake.compare = function ? 0 : PSW_EXTERNAL;     /* whenever those can arrive */
    handshake.zarch = function ? 0 : 1ull << 63;
    struct diagnose registers = {.rx = (uintptr_t)&handshake};
    PV_DIAGNOSE(0x258, &registers);
}

int main(void)
{
    uint32_t n = pv_param("n", 4);
    int by_handshake = pv_param_is("by", "handshake");
    uint8_t saved;
    for (uint32_t i = 0; i < n; i++)
        *(volatile uint8_t *)pages[i] = (uint8_t)(i + 1);
    for (uint32_t i = 0; i < OTHERS; i++)           /* so many that the pages above must give up their frames */
        *(volatile uint8_t *)others[i] = 1;
    units_left = n * UNITS;
    *(volatile uint32_t *)&result.sum = 0;          /* what is needed below is in storage, now: the data, */
    (void)*(volatile uint8_t *)(uintptr_t)pv_wait;  /* and the runtime's code */
    PV_LCTLG(0, PV_STCTG(0) | SERVICE_MASK);
    if (by_handshake)
        shake_hands(0);
    uint64_t begin = pv_clock() >> 12;
    __asm__ volatile("stosm %0, 1" : "=Q"(saved) : : "memory");
    for (uint32_t i = 0; i < n; i++)
        result.sum += *(volatile uint8_t *)pages[i];
    __asm__ volatile("stnsm %0, 0" : "=Q"(saved) : : "memory");
    while (units_left)
        work();
    uint64_t spent = (pv_clock() >> 12) - begin;
    if (by_handshake)
        shake_hands(1);
    pv_print_unsigned(result.meanwhile);
    pv_puts(" units of work while pages came, ");
    pv_print_unsigned(result.units - result.meanwhile);
    pv_puts(" after; ");
    pv_print_unsigned((uint32_t)(spent + 500) / 1000);
    pv_puts(" milliseconds\n");
    return result.sum != n * (n + 1) / 2;
}
