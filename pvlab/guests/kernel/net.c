/* The network workloads: the same packets, whichever card they leave or come by. */
#include <pvlab.h>
#include "ops.h"
#include "drivers.h"

static const struct net *const cards[] = { &e1000, &virtio_net };
static uint8_t own[6], peer[6] = { 2, 'o', 't', 'h', 'e', 'r' };

static const struct net *card_open(void)
{
    for (uint32_t i = 0; i < sizeof cards / sizeof *cards; i++)
        if (pv_param_is("device", cards[i]->name) && cards[i]->open(own))
            return cards[i];
    panic("no such network card; devices known", sizeof cards / sizeof *cards);
}

static void put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* A packet of `size` bytes: a UDP datagram from 10.0.0.2 to 10.0.0.1, port 7, whose bytes follow from its number. */
static void packet(uint8_t *frame, uint32_t number, uint32_t size)
{
    memcpy(frame, peer, 6);
    memcpy(frame + 6, own, 6);
    put16(frame + 12, 0x0800);          /* IP, version 4 */
    uint8_t *ip = frame + 14;
    put16(ip, 0x4500);
    put16(ip + 2, size - 14);
    put16(ip + 4, number);              /* identification */
    put16(ip + 6, 0);
    put16(ip + 8, 64 << 8 | 17);        /* time to live; UDP */
    put16(ip + 10, 0);
    put16(ip + 12, 10 << 8);
    put16(ip + 14, 2);
    put16(ip + 16, 10 << 8);
    put16(ip + 18, 1);
    uint32_t sum = 0;
    for (int i = 0; i < 20; i += 2)
        sum += (uint32_t)(ip[i] << 8 | ip[i + 1]);
    sum = (sum & 0xFFFF) + (sum >> 16);
    put16(ip + 10, ~(sum + (sum >> 16)));
    put16(ip + 20, 7);
    put16(ip + 22, 7);
    put16(ip + 24, size - 34);
    put16(ip + 26, 0);                  /* no UDP checksum */
    uint8_t *payload = ip + 28;
    memcpy(payload, &number, 4);
    for (uint32_t i = 0; i < size - 46; i++)
        payload[4 + i] = (uint8_t)(number + i);
}

/* Send n packets; the card is told of every `batch` of them. */
void net_send(uint32_t n)
{
    uint32_t size = pv_param("size", 60), batch = pv_param("batch", 1), sum = 0;
    const struct net *card = card_open();
    interrupts_on();
    for (uint32_t i = 0; i < n; i++) {
        uint8_t *frame = card->buffer();
        packet(frame, i, size);
        sum = checksum(sum, frame, size);
        card->queue(size);
        if ((i + 1) % batch == 0)
            card->send();
    }
    card->send();
    card->drain();
    done(n, sum);
}

/* Ask the peer for n packets, and take them; the card gets back every `batch` of its buffers. */
void net_receive(uint32_t n)
{
    uint32_t size = pv_param("size", 60), batch = pv_param("batch", 1), gap = pv_param("gap", 20000), sum = 0;
    const struct net *card = card_open();
    uint8_t *frame = card->buffer();
    memset(frame, 0, 60);
    memcpy(frame, peer, 6);
    memcpy(frame + 6, own, 6);
    put16(frame + 12, 0x88B5);          /* a type for local experiments */
    memcpy(frame + 14, "SEND", 4);
    memcpy(frame + 18, &n, 4);
    memcpy(frame + 22, &size, 2);
    memcpy(frame + 24, &gap, 4);
    card->queue(60);
    card->send();
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *got = card->receive(&size);
        sum = checksum(sum, got, size);
        card->release();
        if ((i + 1) % batch == 0)
            card->refill();
    }
    done(n, sum);
}
