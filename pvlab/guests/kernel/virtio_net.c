/* A virtio network card: two queues of frames, each behind a header (virtio 1.2, 5.1). */
#include <pvlab.h>
#include "ops.h"
#include "virtio.h"

#define KIND            1
#define LINE            10
enum { RECEIVE, TRANSMIT };
#define BUFFER          2048
#define HEADER          12              /* all zeros: nothing is asked of the card */

static struct queue sending, receiving;
static uint8_t *send_buffers, *receive_buffers;
static uint32_t queued, held;        /* frames put into the ring; the received one that we hold */
static const uint8_t header[HEADER];

static void interrupt(void) { virtio_acknowledge(sending.registers); }

static int open(uint8_t *address)
{
    volatile uint32_t *registers = virtio_find(KIND, LINE, interrupt);
    if (!registers)
        return 0;
    memcpy(address, (const void *)(registers + 0x100 / 4), 6);
    queue_open(&receiving, registers, RECEIVE, 1);
    queue_open(&sending, registers, TRANSMIT, 2);
    receive_buffers = pages_take(receiving.buffers * BUFFER / PAGE_SIZE);
    send_buffers = pages_take(sending.buffers * BUFFER / PAGE_SIZE);
    queue_interrupt_after(&sending, 0);
    virtio_start(registers);
    for (uint32_t i = 0; i < receiving.buffers; i++) {
        queue_describe(&receiving, i, 0, receive_buffers + i * BUFFER, BUFFER, DEVICE_WRITES);
        queue_add(&receiving, i);
    }
    queue_kick(&receiving);
    return 1;
}

/* Take back what has been sent. The card sends in order, so the oldest buffers are free first. */
static void clean(void)
{
    while (queue_ready(&sending))
        queue_take(&sending, NULL);
}

static void queue(uint32_t size)
{
    uint32_t number = queued++ % sending.buffers;
    queue_describe(&sending, number, 0, header, HEADER, NEXT);
    queue_describe(&sending, number, 1, send_buffers + number * BUFFER, size, 0);
    queue_add(&sending, number);
}

static void send(void)
{
    if (sending.told != sending.added)
        queue_kick(&sending);
}

/* With a full ring, wait until the card has sent three quarters of it: one interrupt for many frames, if it can be
 * told so. */
static uint8_t *buffer(void)
{
    clean();
    if ((uint16_t)(queued - sending.seen) == sending.buffers) {
        send();
        queue_interrupt_after(&sending, sending.buffers * 3 / 4);
        WAIT_UNTIL(queue_ready(&sending));
        interrupts_on();
        clean();
        queue_interrupt_after(&sending, 0);
    }
    return send_buffers + queued % sending.buffers * BUFFER;
}

static void drain(void)
{
    while (clean(), (uint16_t)(queued - sending.seen)) {
        queue_interrupt_after(&sending, (uint16_t)(queued - sending.seen));
        WAIT_UNTIL(queue_ready(&sending));
    }
}

static const uint8_t *receive(uint32_t *size)
{
    if (!queue_ready(&receiving)) {
        queue_interrupt_after(&receiving, 1);
        WAIT_UNTIL(queue_ready(&receiving));
        queue_interrupt_after(&receiving, 0);
    }
    held = queue_take(&receiving, size);
    *size -= HEADER;
    return receive_buffers + held * BUFFER + HEADER;
}

static void release(void) { queue_add(&receiving, held); }
static void refill(void) { queue_kick(&receiving); }

const struct net virtio_net = { "virtio", open, buffer, queue, send, drain, receive, release, refill };
