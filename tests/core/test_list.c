/* test_list.c - the embedded list. */
#include "testing.h"
#include "core/list.h"

enum { NODES = 5 };

static struct weir_link head, other, node[NODES];

static int list_setup(void **state)
{
    (void)state;
    weir_list_init(&head);
    weir_list_init(&other);
    for (int i = 0; i < NODES; i++)
        weir_list_init(&node[i]);
    return 0;
}

/* The list holds exactly these nodes in this order, both ways round. */
static void assert_list(struct weir_link *list, const int *order, int count)
{
    struct weir_link *link = list;

    for (int i = 0; i < count; i++) {
        assert_ptr_equal(link->next, &node[order[i]]);
        assert_ptr_equal(link->next->prev, link);
        link = link->next;
    }
    assert_ptr_equal(link->next, list);
    assert_ptr_equal(list->prev, link);
    assert_int_equal(weir_list_empty(list), count == 0);
}

#define assert_list_is(list, ...) \
    assert_list(list, (int[]){ __VA_ARGS__ }, (int)(sizeof((int[]){ __VA_ARGS__ }) / sizeof(int)))

static void test_push_keeps_order(void **state)
{
    (void)state;
    assert_list(&head, NULL, 0);
    weir_list_push(&head, &node[0]);
    weir_list_push(&head, &node[1]);
    weir_list_push_front(&head, &node[2]);
    assert_list_is(&head, 2, 0, 1);
}

static void test_del_twice_is_harmless(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        weir_list_push(&head, &node[i]);
    weir_list_del(&node[1]);
    assert_true(weir_list_empty(&node[1]));
    weir_list_del(&node[1]);
    assert_list_is(&head, 0, 2);
    weir_list_del(&node[0]);
    weir_list_del(&node[2]);
    assert_list(&head, NULL, 0);
}

static void test_pop_takes_the_first(void **state)
{
    (void)state;
    assert_null(weir_list_pop(&head));
    weir_list_push(&head, &node[3]);
    weir_list_push(&head, &node[4]);
    assert_ptr_equal(weir_list_pop(&head), &node[3]);
    assert_true(weir_list_empty(&node[3]));
    assert_ptr_equal(weir_list_pop(&head), &node[4]);
    assert_null(weir_list_pop(&head));
}

static void test_move_all_appends_and_empties(void **state)
{
    (void)state;
    weir_list_move_all(&head, &other); /* nothing to nothing */
    assert_list(&head, NULL, 0);
    weir_list_push(&other, &node[0]);
    weir_list_push(&other, &node[1]);
    weir_list_move_all(&head, &other); /* to nothing */
    assert_list_is(&head, 0, 1);
    assert_list(&other, NULL, 0);
    weir_list_push(&other, &node[2]);
    weir_list_move_all(&head, &other); /* behind some */
    assert_list_is(&head, 0, 1, 2);
    weir_list_move_all(&head, &other); /* nothing behind some */
    assert_list_is(&head, 0, 1, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_push_keeps_order, list_setup),
        cmocka_unit_test_setup(test_del_twice_is_harmless, list_setup),
        cmocka_unit_test_setup(test_pop_takes_the_first, list_setup),
        cmocka_unit_test_setup(test_move_all_appends_and_empties, list_setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
