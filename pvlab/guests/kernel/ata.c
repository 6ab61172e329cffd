/* An ATA disk by programmed I/O: the CPU carries every word. */
#include "ops.h"
#include "drivers.h"

#define LINE            14
enum { DATA = 0x1F0, FEATURES, COUNT, LBA_LOW, LBA_MID, LBA_HIGH, DEVICE, COMMAND, STATUS = COMMAND };   /* ports */
#define CONTROL         0x3F6           /* bit 1 keeps interrupts off */
enum { ERROR = 1, REQUEST = 8, READY = 0x40, BUSY = 0x80 };             /* bits of the status */
enum { READ = 0x20, WRITE_SECTORS = 0x30, FLUSH = 0xE7, IDENTIFY = 0xEC };
#define WORDS           (SECTOR / 2)

static volatile uint32_t interrupts, status;
static int string;                      /* transfer a sector by one instruction */

/* Reading the status tells the disk that its interrupt was seen. */
static void interrupt(void)
{
    status = in8(STATUS);
    interrupts++;
}

static void check(void)
{
    if (status & ERROR)
        panic("the disk reports error", in8(FEATURES));
}

static void wait_for_interrupt(uint32_t before)
{
    WAIT_UNTIL(interrupts != before);
    check();
}

/* Look at the status until the disk is ready for what comes next. */
static void poll(uint8_t bits)
{
    do
        status = in8(STATUS);
    while ((status & (BUSY | bits)) != bits && !(bits == REQUEST && status & ERROR));
}

static void start(uint8_t command, uint32_t sector, uint32_t count)
{
    out8(DEVICE, (uint8_t)(0xE0 | sector >> 24));       /* the first drive, addressed by sector number */
    poll(READY);
    out8(FEATURES, 0);
    out8(COUNT, (uint8_t)count);        /* 256 is written as 0 */
    out8(LBA_LOW, (uint8_t)sector);
    out8(LBA_MID, (uint8_t)(sector >> 8));
    out8(LBA_HIGH, (uint8_t)(sector >> 16));
    out8(COMMAND, command);
}

static void read_sector(uint16_t *to)
{
    if (string)
        in16_string(DATA, to, WORDS);
    else
        for (uint32_t i = 0; i < WORDS; i++)
            to[i] = in16(DATA);
}

static void write_sector(const uint16_t *from)
{
    if (string)
        out16_string(DATA, from, WORDS);
    else
        for (uint32_t i = 0; i < WORDS; i++)
            out16(DATA, from[i]);
}

/* The disk interrupts before each sector that it has for us, and after each that it got. */
static void submit(int write, uint32_t sector, uint32_t count, void *data)
{
    uint32_t before = interrupts;
    start(write ? WRITE_SECTORS : READ, sector, count);
    if (write) {
        poll(REQUEST);
        check();
    }
    for (uint16_t *words = data; count; count--, words += WORDS) {
        if (write)
            write_sector(words);
        wait_for_interrupt(before++);
        if (!write)
            read_sector(words);
    }
}

static void finish(void) {}             /* all is done already */

static void flush(void)
{
    uint32_t before = interrupts;
    start(FLUSH, 0, 0);
    wait_for_interrupt(before);
}

static uint32_t open(void)
{
    static uint16_t identity[WORDS];
    if (in8(STATUS) == 0xFF)            /* nobody is there */
        return 0;
    out8(CONTROL, 0);
    line_on(LINE, interrupt);
    uint32_t before = interrupts;
    start(IDENTIFY, 0, 0);
    wait_for_interrupt(before);
    read_sector(identity);
    return identity[60] | (uint32_t)identity[61] << 16;
}

static uint32_t open_string(void)
{
    string = 1;
    return open();
}

const struct disk ata = { "ata", open, submit, finish, flush };
const struct disk ata_string = { "ata-rep", open_string, submit, finish, flush };
