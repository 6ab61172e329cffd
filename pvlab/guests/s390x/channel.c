#include "channel.h"

enum { ENABLED = 0x80, VALID = 0x01, CHANNEL_AND_DEVICE_END = 0x0C, ALL_SUBCLASSES = 0xFF000000 };

struct irb channel_status;
static volatile int ended;

#define CHANNEL(name, text)                                                                                  \
    static int name(uint32_t subchannel, void *operand)                                                      \
    {                                                                                                        \
        register uint64_t one __asm__("1") = subchannel;                                                     \
        int cc;                                                                                              \
        __asm__ volatile(text " 0(%2)\n\tipm %0\n\tsrl %0, 28" : "=d"(cc) : "d"(one), "a"(operand) : "cc", "memory"); \
        return cc;                                                                                           \
    }

CHANNEL(store_subchannel, "stsch")
CHANNEL(modify_subchannel, "msch")
CHANNEL(start_subchannel, "ssch")
CHANNEL(test_subchannel, "tsch")

uint32_t channel_open(uint16_t device)
{
    struct schib schib;
    PV_LCTLG(6, ALL_SUBCLASSES);
    for (uint32_t subchannel = 0x10000; store_subchannel(subchannel, &schib) == 0; subchannel++)
        if (schib.flags & VALID && schib.device == device) {
            schib.flags |= ENABLED;
            return modify_subchannel(subchannel, &schib) ? 0 : subchannel;
        }
    return 0;
}

void pv_on_io(void)
{
    volatile struct low_core *low = low_core();
    test_subchannel(low->io_subchannel, &channel_status);
    ended = 1;
    pv_wake(&low->io_old);
}

int channel_run(uint32_t subchannel, struct ccw *program)
{
    struct orb orb = {0, 0x0080, 0xFF, 0, (uint32_t)(uintptr_t)program};
    ended = 0;
    if (start_subchannel(subchannel, &orb))
        return -1;
    while (!ended)
        pv_wait(PSW_IO);
    if (channel_status.device_status == CHANNEL_AND_DEVICE_END && !channel_status.status)
        return 0;
    return channel_status.device_status << 8 | channel_status.status;
}
