/* test_udp_queue.c - the ring of datagrams, against a model. */
#include "tests/core/testing.h"
#include "net/udp_queue.h"

enum { MODEL = 64, BYTES = 200 };

/* What should be in the ring: lengths and first bytes, oldest first. */
struct model {
    size_t len[MODEL];
    uint8_t first[MODEL];
    unsigned head, count;
    size_t used;
};

static struct weir_addr model_peer(uint8_t which)
{
    char text[WEIR_ADDR_TEXT];
    struct weir_addr addr;

    if (which % 3 == 0)
        snprintf(text, sizeof text, "[2001:db8::%x]:%u", which, which);
    else
        snprintf(text, sizeof text, "192.0.2.%u:%u", which, which);
    assert_int_equal(weir_addr_parse(&addr, text), 0);
    return addr;
}

static size_t record_bytes(const struct weir_addr *peer, size_t len)
{
    return (8 + peer->len + len + 7) / 8 * 8;
}

static void model_push(struct model *model, struct weir_udp_queue *queue, size_t size,
                       uint8_t first, size_t len)
{
    struct weir_addr peer = model_peer(first);
    uint8_t data[BYTES];
    bool fits = model->used + record_bytes(&peer, len) <= size;

    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)(first + i);
    assert_int_equal(weir_udp_queue_push(queue, &peer, data, len), fits);
    if (!fits)
        return;
    assert_true(model->count < MODEL);
    model->len[(model->head + model->count) % MODEL] = len;
    model->first[(model->head + model->count++) % MODEL] = first;
    model->used += record_bytes(&peer, len);
}

static void model_pop(struct model *model, struct weir_udp_queue *queue, size_t room)
{
    size_t len = model->len[model->head];
    uint8_t first = model->first[model->head], data[BYTES];
    struct weir_datagram datagram = { .data = data, .len = room };
    struct weir_addr peer = model_peer(first);

    weir_udp_queue_pop(queue, &datagram);
    assert_int_equal(datagram.len, len < room ? len : room);
    assert_int_equal(datagram.cut, len > room);
    assert_int_equal(datagram.peer.len, peer.len);
    assert_memory_equal(&datagram.peer.sa, &peer.sa, peer.len);
    for (size_t i = 0; i < datagram.len; i++)
        assert_int_equal(data[i], (uint8_t)(first + i));
    model->head = (model->head + 1) % MODEL;
    model->count--;
    model->used -= record_bytes(&peer, len);
}

static void the_ring_is_a_queue(void **state)
{
    uint64_t seed = random_seed();

    (void)state;
    for (unsigned round = 0; round < 50; round++) {
        size_t size = 8 * random_below(&seed, 200);
        struct weir_udp_queue queue;
        struct model model = { 0 };

        assert_int_equal(weir_udp_queue_init(&queue, (uint32_t)(size + round % 8)), 0);
        for (unsigned i = 0; i < 2000; i++) {
            assert_int_equal(weir_udp_queue_empty(&queue), model.count == 0);
            if (model.count > 0 && random_below(&seed, 2) == 0)
                model_pop(&model, &queue, random_below(&seed, BYTES));
            else
                model_push(&model, &queue, size, (uint8_t)random_below(&seed, 256),
                           random_below(&seed, BYTES));
        }
        weir_udp_queue_free(&queue);
    }
}

/* To the last byte, and not one more. */
static void the_bound_is_exact(void **state)
{
    struct weir_addr peer = model_peer(1);
    struct weir_udp_queue queue;
    struct weir_datagram one = { 0 };

    (void)state;
    assert_int_equal(weir_udp_queue_init(&queue, 2 * (8 + 16 + 8)), 0);
    assert_true(weir_udp_queue_push(&queue, &peer, "12345678", 8));
    assert_false(weir_udp_queue_push(&queue, &peer, "123456789", 9));
    assert_true(weir_udp_queue_push(&queue, &peer, "12345678", 8));
    assert_false(weir_udp_queue_push(&queue, &peer, NULL, 0));
    weir_udp_queue_pop(&queue, &one);
    assert_true(one.cut);
    assert_true(weir_udp_queue_push(&queue, &peer, "1", 1));
    weir_udp_queue_free(&queue);
    assert_int_equal(weir_udp_queue_init(&queue, 1), 0);
    assert_false(weir_udp_queue_push(&queue, &peer, NULL, 0));
    assert_true(weir_udp_queue_empty(&queue));
    weir_udp_queue_free(&queue);
}

static void the_longest_datagram_fits(void **state)
{
    static uint8_t data[UINT16_MAX], back[UINT16_MAX];
    struct weir_datagram one = { .data = back, .len = sizeof back };
    struct weir_addr peer = model_peer(2);
    struct weir_udp_queue queue;

    (void)state;
    memset(data, 0x5a, sizeof data);
    assert_int_equal(weir_udp_queue_init(&queue, 70000), 0);
    assert_true(weir_udp_queue_push(&queue, &peer, data, sizeof data));
    weir_udp_queue_pop(&queue, &one);
    assert_int_equal(one.len, sizeof data);
    assert_memory_equal(data, back, sizeof data);
    weir_udp_queue_free(&queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_ring_is_a_queue),
        cmocka_unit_test(the_bound_is_exact),
        cmocka_unit_test(the_longest_datagram_fits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
