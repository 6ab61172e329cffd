/* A virtio-blk driver for any little-endian machine with the device at BASE: polls, one request at a time.
   It copies COUNT sectors from the start of the disk to TO, writes each back, with its bytes inverted, COUNT sectors
   further on, and leaves 1 in `result`, or 100 and more for where it gave up. */
#include <stdint.h>

#define REGISTER(offset) (*(volatile uint32_t *)(BASE + (offset)))
#define N 8

struct descriptor { uint64_t address; uint32_t length; uint16_t flags, next; };
struct request { uint32_t type, reserved; uint64_t sector; };

static struct descriptor table[N] __attribute__((aligned(16)));
static volatile struct { uint16_t flags, index, ring[N]; } available __attribute__((aligned(16)));
static volatile struct {
    uint16_t flags, index;
    struct { uint32_t id, length; } ring[N];
} used __attribute__((aligned(16)));
static struct request request;
static volatile uint8_t status;
static uint8_t buffer[512];
volatile uint32_t result __attribute__((section(".result")));

static int carry_out(uint32_t type, uint64_t sector)
{
    request.type = type;
    request.sector = sector;
    status = 0xFF;
    table[0] = (struct descriptor){(uintptr_t)&request, sizeof request, 1, 1};
    table[1] = (struct descriptor){(uintptr_t)buffer, sizeof buffer, type ? 1 : 3, 2};
    table[2] = (struct descriptor){(uintptr_t)&status, 1, 2, 0};
    available.ring[available.index % N] = 0;
    __sync_synchronize();
    available.index = available.index + 1;
    __sync_synchronize();
    REGISTER(0x050) = 0;
    while (used.index != available.index)
        ;
    REGISTER(0x064) = REGISTER(0x060);
    return status;
}

static uint32_t work(void)
{
    if (REGISTER(0x000) != 0x74726976 || REGISTER(0x004) != 2 || REGISTER(0x008) != 2)
        return 100;
    REGISTER(0x070) = 0;
    REGISTER(0x070) = 1;
    REGISTER(0x070) = 3;
    REGISTER(0x014) = 1;
    if (!(REGISTER(0x010) & 1))
        return 101;
    REGISTER(0x024) = 1;
    REGISTER(0x020) = 1;
    REGISTER(0x024) = 0;
    REGISTER(0x020) = 0;
    REGISTER(0x070) = 11;
    if (!(REGISTER(0x070) & 8))
        return 102;
    REGISTER(0x030) = 0;
    if (REGISTER(0x044) || REGISTER(0x034) < N)
        return 103;
    REGISTER(0x038) = N;
    REGISTER(0x080) = (uintptr_t)table;
    REGISTER(0x084) = (uint64_t)(uintptr_t)table >> 32;
    REGISTER(0x090) = (uintptr_t)&available;
    REGISTER(0x094) = (uint64_t)(uintptr_t)&available >> 32;
    REGISTER(0x0A0) = (uintptr_t)&used;
    REGISTER(0x0A4) = (uint64_t)(uintptr_t)&used >> 32;
    REGISTER(0x044) = 1;
    REGISTER(0x070) = 15;
    for (uint64_t sector = 0; sector < COUNT; sector++) {
        if (carry_out(0, sector))
            return 200 + sector;
        for (int i = 0; i < 512; i++) {
            ((uint8_t *)TO)[512 * sector + i] = buffer[i];
            buffer[i] = ~buffer[i];
        }
        if (carry_out(1, sector + COUNT))
            return 300 + sector;
    }
    return carry_out(0, REGISTER(0x100)) == 1 ? 1 : 104;      /* the sector after the last one */
}

__attribute__((section(".start"))) void _start(void)
{
    result = work();
    for (;;)
        ;
}
