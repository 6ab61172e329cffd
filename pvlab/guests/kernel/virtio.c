/* Virtio over MMIO, version 2, and its split virtqueues.
 *
 * The parameter "suppression" says how both sides spare each other notifications. "none": there is each kick and each
 * interrupt that there can be; "flags": a side says that it wants none; "event-idx": it says from which buffer on. */
#include <pvlab.h>
#include "ops.h"
#include "virtio.h"

/* Registers, by their offsets in words (4.2.2). */
enum {
    MAGIC, VERSION, DEVICE_ID, DEVICE_FEATURES = 0x10 / 4, DEVICE_FEATURES_SELECT, DRIVER_FEATURES = 0x20 / 4,
    DRIVER_FEATURES_SELECT, QUEUE_SELECT = 0x30 / 4, QUEUE_SIZE_MAX, QUEUE_SIZE, QUEUE_READY = 0x44 / 4,
    QUEUE_NOTIFY = 0x50 / 4, INTERRUPT_STATUS = 0x60 / 4, INTERRUPT_ACKNOWLEDGE, STATUS = 0x70 / 4,
    QUEUE_DESCRIPTORS = 0x80 / 4, QUEUE_AVAILABLE = 0x90 / 4, QUEUE_USED = 0xA0 / 4,
};
enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8 };
#define F_INDIRECT      (1u << 28)
#define F_EVENT_IDX     (1u << 29)
#define F_VERSION_1     1u              /* in the second word of features */
#define SLOTS           8

static int flags, event_idx, indirect;  /* what the command line asks for */

/* Find the device of this kind, and begin with it as chapter 3.1 prescribes, up to its queues. */
volatile uint32_t *virtio_find(uint32_t kind, uint32_t line, void (*interrupt)(void))
{
    event_idx = pv_param_is("suppression", "event-idx");
    flags = pv_param_is("suppression", "flags");
    indirect = pv_param_is("indirect", "yes");
    volatile uint32_t *registers = device_map(VIRTIO_BASE, PAGE_SIZE);
    for (uint32_t slot = 0; slot < SLOTS; slot++, registers += 0x200 / 4) {
        if (registers[MAGIC] != 0x74726976 || registers[VERSION] != 2 || registers[DEVICE_ID] != kind)
            continue;
        registers[STATUS] = 0;
        registers[STATUS] = ACKNOWLEDGE;
        registers[STATUS] = ACKNOWLEDGE | DRIVER;
        registers[DEVICE_FEATURES_SELECT] = 0;
        uint32_t wanted = (indirect ? F_INDIRECT : 0) | (event_idx ? F_EVENT_IDX : 0);
        if ((registers[DEVICE_FEATURES] & wanted) != wanted)
            panic("the device lacks features of", wanted);
        registers[DRIVER_FEATURES_SELECT] = 0;
        registers[DRIVER_FEATURES] = wanted;
        registers[DRIVER_FEATURES_SELECT] = 1;
        registers[DRIVER_FEATURES] = F_VERSION_1;
        registers[STATUS] = ACKNOWLEDGE | DRIVER | FEATURES_OK;
        if (!(registers[STATUS] & FEATURES_OK))
            panic("the device refuses the features", wanted);
        line_on(line, interrupt);
        return registers;
    }
    return NULL;
}

/* Why has it interrupted? Whatever it says, say that it was heard. */
void virtio_acknowledge(volatile uint32_t *registers)
{
    registers[INTERRUPT_ACKNOWLEDGE] = registers[INTERRUPT_STATUS];
}

/* All queues are there: the device may begin. */
void virtio_start(volatile uint32_t *registers)
{
    registers[STATUS] = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK;
}

/* The other side's event stands behind the entries: 2 bytes each in the available ring, 8 in the used one. */
static volatile uint16_t *used_event(struct queue *queue) { return queue->available + 2 + queue->size; }
static volatile uint16_t *available_event(struct queue *queue) { return queue->used + 2 + 4 * queue->size; }

void queue_open(struct queue *queue, volatile uint32_t *registers, uint32_t number, uint32_t parts)
{
    registers[QUEUE_SELECT] = number;
    uint32_t size = registers[QUEUE_SIZE_MAX];
    queue->registers = registers;
    queue->number = number;
    queue->size = size < QUEUE_MAX ? size : QUEUE_MAX;
    queue->parts = parts;
    queue->buffers = indirect ? queue->size : queue->size / parts;
    queue->descriptors = pages_take(1);
    queue->available = pages_take(1);
    queue->used = pages_take(1);
    if (indirect)
        queue->tables = pages_take((QUEUE_MAX * parts * sizeof(struct descriptor) + PAGE_SIZE - 1) / PAGE_SIZE);
    registers[QUEUE_SIZE] = queue->size;
    registers[QUEUE_DESCRIPTORS] = PHYSICAL(queue->descriptors);
    registers[QUEUE_DESCRIPTORS + 1] = 0;       /* the upper half of an address */
    registers[QUEUE_AVAILABLE] = PHYSICAL(queue->available);
    registers[QUEUE_AVAILABLE + 1] = 0;
    registers[QUEUE_USED] = PHYSICAL(queue->used);
    registers[QUEUE_USED + 1] = 0;
    registers[QUEUE_READY] = 1;
}

/* Say where a part of a buffer is, whether the device writes there, and whether another part follows. */
void queue_describe(struct queue *queue, uint32_t buffer, uint32_t part, const void *data, uint32_t length, int how)
{
    uint32_t first = buffer * queue->parts;
    struct descriptor *table = indirect ? queue->tables + first : queue->descriptors + first;
    table[part] = (struct descriptor){
        .address = PHYSICAL(data), .length = length, .flags = (uint16_t)how,
        .next = (uint16_t)(how & NEXT ? (indirect ? 0 : first) + part + 1 : 0),
    };
    if (indirect && !part)
        queue->descriptors[buffer] = (struct descriptor){
            .address = PHYSICAL(table), .length = queue->parts * sizeof(struct descriptor), .flags = INDIRECT,
        };
}

/* Put a buffer into the ring. The device does not see it before queue_kick. */
void queue_add(struct queue *queue, uint32_t buffer)
{
    queue->available[2 + queue->added++ % queue->size] = (uint16_t)(indirect ? buffer : buffer * queue->parts);
}

/* Show the device all that was added, and kick it if it wants to be kicked. */
void queue_kick(struct queue *queue)
{
    BARRIER();
    queue->available[1] = queue->added;
    FULL_BARRIER();                     /* the device may have gone to sleep in the meantime: look at that afterwards */
    uint16_t news = (uint16_t)(queue->added - queue->told);
    if (event_idx ? (uint16_t)(queue->added - *available_event(queue) - 1) < news : !(flags && queue->used[0] & 1))
        queue->registers[QUEUE_NOTIFY] = queue->number;
    queue->told = queue->added;
}

/* Has the device returned a buffer? */
int queue_ready(struct queue *queue) { return queue->used[1] != queue->seen; }

/* Take it back. `length`: how many bytes the device has written, if that is wanted. */
uint32_t queue_take(struct queue *queue, uint32_t *length)
{
    BARRIER();
    volatile uint32_t *entry = (volatile uint32_t *)(queue->used + 2) + queue->seen++ % queue->size * 2;
    if (length)
        *length = entry[1];
    return indirect ? entry[0] : entry[0] / queue->parts;
}

/* Ask for an interrupt when so many more have been returned; 0: for none. Look once more afterwards, whether they have
 * been in the meantime. */
void queue_interrupt_after(struct queue *queue, uint32_t count)
{
    if (event_idx)
        *used_event(queue) = (uint16_t)(queue->seen + count - 1);       /* one behind us is never reached */
    else if (flags)
        queue->available[0] = !count;
    FULL_BARRIER();
}
