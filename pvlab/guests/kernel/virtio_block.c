/* A virtio disk: a request is a header, data, and a place for its status (virtio 1.2, 5.2). */
#include "ops.h"
#include "virtio.h"

#define KIND            2
#define LINE            5
enum { IN = 0, OUT = 1, FLUSH = 4 };

static struct { uint32_t type, reserved; uint64_t sector; } headers[QUEUE_MAX];
static uint8_t statuses[QUEUE_MAX];
static struct queue queue;
static uint32_t unused[QUEUE_MAX], unused_count, in_flight;

static void interrupt(void) { virtio_acknowledge(queue.registers); }

static uint32_t open(void)
{
    volatile uint32_t *registers = virtio_find(KIND, LINE, interrupt);
    if (!registers)
        return 0;
    queue_open(&queue, registers, 0, 3);
    for (uint32_t i = queue.buffers; i; i--)
        unused[unused_count++] = i - 1;
    virtio_start(registers);
    return registers[0x100 / 4];        /* the configuration begins with the disk's sectors */
}

/* Show the device all requests, and wait until they are done: for one interrupt, if it can be told. */
static void finish(void)
{
    queue_interrupt_after(&queue, in_flight);
    queue_kick(&queue);
    while (in_flight) {
        WAIT_UNTIL(queue_ready(&queue));
        while (queue_ready(&queue)) {
            uint32_t buffer = queue_take(&queue, NULL);
            if (statuses[buffer])
                panic("the disk reports status", statuses[buffer]);
            unused[unused_count++] = buffer;
            in_flight--;
        }
        queue_interrupt_after(&queue, in_flight);
    }
}

static void request(uint32_t type, uint32_t sector, uint32_t count, void *data)
{
    if (!unused_count)
        finish();
    uint32_t buffer = unused[--unused_count];
    headers[buffer].type = type;
    headers[buffer].sector = sector;
    statuses[buffer] = 0xFF;
    uint32_t part = 0;
    queue_describe(&queue, buffer, part++, headers + buffer, sizeof *headers, NEXT);
    if (count)
        queue_describe(&queue, buffer, part++, data, count * SECTOR, type == IN ? NEXT | DEVICE_WRITES : NEXT);
    queue_describe(&queue, buffer, part, statuses + buffer, 1, DEVICE_WRITES);
    queue_add(&queue, buffer);
    in_flight++;
}

static void submit(int write, uint32_t sector, uint32_t count, void *data)
{
    request(write ? OUT : IN, sector, count, data);
}

static void flush(void)
{
    request(FLUSH, 0, 0, NULL);
    finish();
}

const struct disk virtio_block = { "virtio", open, submit, finish, flush };
