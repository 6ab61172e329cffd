/* An Intel 82540EM network card: registers in memory, and two rings of descriptors.
 *
 * The interrupt handler does what Linux's driver did: it reads the causes, which clears them, masks all, does the work,
 * and allows them again. After each write to the mask it reads the status, so that the write has arrived: five accesses
 * to the card in all. */
#include <pvlab.h>
#include "ops.h"
#include "drivers.h"

#define BASE            0xFEBC0000
#define LINE            11
enum {                                  /* registers, by their offsets in words */
    CTRL, STATUS = 0x8 / 4, ICR = 0xC0 / 4, ITR, IMS = 0xD0 / 4, IMC = 0xD8 / 4, RCTL = 0x100 / 4, TCTL = 0x400 / 4,
    RDBAL = 0x2800 / 4, RDBAH, RDLEN, RDH = 0x2810 / 4, RDT = 0x2818 / 4,
    TDBAL = 0x3800 / 4, TDBAH, TDLEN, TDH = 0x3810 / 4, TDT = 0x3818 / 4, RAL = 0x5400 / 4, RAH,
};
enum { SENT = 1, RECEIVED = 0x80 };     /* causes of interrupts */
enum { EOP = 1, FCS = 2, REPORT = 8, DONE = 1 };    /* of a descriptor: command, and status */
#define RING            256
#define BUFFER          2048

struct send_descriptor {
    uint64_t address;
    uint16_t length;
    uint8_t checksum_offset, command;
    volatile uint8_t status;
    uint8_t checksum_start;
    uint16_t special;
};

struct receive_descriptor {
    uint64_t address;
    volatile uint16_t length;
    uint16_t checksum;
    volatile uint8_t status, errors;
    uint16_t special;
};

static volatile uint32_t *card;
static struct send_descriptor *sends;
static struct receive_descriptor *receives;
static uint8_t *send_buffers, *receive_buffers;
/* Free-running counters: frames queued and told of; those whose buffers are ours again; those received. */
static uint32_t queued, told, taken;
static volatile uint32_t cleaned;

static void clean(void)
{
    while (cleaned != told && sends[cleaned % RING].status & DONE)
        cleaned++;
}

static void interrupt(void)
{
    uint32_t causes = card[ICR];
    card[IMC] = ~0u;
    (void)card[STATUS];
    if (causes & SENT)
        clean();                        /* what has been received is seen in the ring by who waits for it */
    card[IMS] = SENT | RECEIVED;
    (void)card[STATUS];
}

static int open(uint8_t *address)
{
    card = device_map(BASE, 0x6000);
    card[IMC] = ~0u;
    card[CTRL] = 1 << 26;               /* reset, */
    card[IMC] = ~0u;
    card[CTRL] = 1 << 6;                /* link up */
    uint32_t low = card[RAL], high = card[RAH];
    memcpy(address, &low, 4);
    memcpy(address + 4, &high, 2);

    sends = pages_take(1);
    receives = pages_take(1);
    send_buffers = pages_take(RING * BUFFER / PAGE_SIZE);
    receive_buffers = pages_take(RING * BUFFER / PAGE_SIZE);
    for (uint32_t i = 0; i < RING; i++)
        receives[i].address = PHYSICAL(receive_buffers + i * BUFFER);
    card[TDBAL] = PHYSICAL(sends);
    card[TDBAH] = 0;
    card[TDLEN] = RING * sizeof *sends;
    card[TDH] = card[TDT] = 0;
    card[TCTL] = 1 << 1 | 1 << 3;       /* on; pad short packets */
    card[RDBAL] = PHYSICAL(receives);
    card[RDBAH] = 0;
    card[RDLEN] = RING * sizeof *receives;
    card[RDH] = 0;
    card[RDT] = RING - 1;               /* one less than all: a full ring must not look like an empty one */
    card[RCTL] = 1u << 1 | 1u << 15 | 1u << 26;     /* on; broadcasts; no check sequence */
    card[ITR] = pv_param("moderation", 0) * 1000 / 256;     /* of microseconds, in units of 256 ns */
    line_on(LINE, interrupt);
    card[IMS] = SENT | RECEIVED;
    return 1;
}

static void queue(uint32_t size)
{
    sends[queued % RING] = (struct send_descriptor){
        .address = PHYSICAL(send_buffers + queued % RING * BUFFER), .length = (uint16_t)size,
        .command = EOP | FCS | REPORT,
    };
    queued++;
}

static void send(void)
{
    if (told == queued)
        return;
    told = queued;
    BARRIER();
    card[TDT] = queued % RING;
}

/* With a full ring, wait until the card has sent something. */
static uint8_t *buffer(void)
{
    if (queued - cleaned == RING - 1) {
        send();
        WAIT_UNTIL(queued - cleaned < RING - 1);
        interrupts_on();
    }
    return send_buffers + queued % RING * BUFFER;
}

static void drain(void) { WAIT_UNTIL(cleaned == queued); }

static const uint8_t *receive(uint32_t *size)
{
    struct receive_descriptor *next = receives + taken % RING;
    if (!(next->status & DONE))
        WAIT_UNTIL(next->status & DONE);
    *size = next->length;
    return receive_buffers + taken % RING * BUFFER;
}

static void release(void)
{
    receives[taken++ % RING].status = 0;
}

static void refill(void)
{
    BARRIER();
    card[RDT] = (taken - 1) % RING;
}

const struct net e1000 = { "e1000", open, buffer, queue, send, drain, receive, release, refill };
