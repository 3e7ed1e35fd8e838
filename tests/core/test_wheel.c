/* test_wheel.c - the timer wheel: its contract by example, then against a plain array. */
#include "testing.h"
#include "core/wheel.h"

#define DAY WEIR_SEC(86400)

static struct weir_wheel wheel;

static bool armed(const struct weir_alarm *alarm)
{
    return alarm->link.next && alarm->link.next != &alarm->link;
}

static void test_empty_wheel_has_nothing(void **state)
{
    (void)state;
    weir_wheel_init(&wheel, 12345);
    assert_null(weir_wheel_pop(&wheel, 12345));
    assert_null(weir_wheel_pop(&wheel, INT64_MAX));
    assert_true(weir_wheel_next(&wheel) == WEIR_NEVER);
    weir_wheel_validate(&wheel);
}

/* Whatever its place within a tick, an alarm comes with the first tick at or after it: not a
 * nanosecond early, and not a tick late. */
static void test_never_early_never_a_tick_late(void **state)
{
    static const weir_time offset[] = { 0, 1, WEIR_TICK - 1, WEIR_TICK, WEIR_TICK + 1 };

    (void)state;
    for (size_t i = 0; i < WEIR_COUNT(offset); i++) {
        for (weir_time base = 10 * WEIR_TICK; base < 400 * DAY; base *= 3) {
            weir_time start = base / 2;
            weir_time when = base / WEIR_TICK * WEIR_TICK + offset[i];
            weir_time edge = (when + WEIR_TICK - 1) / WEIR_TICK * WEIR_TICK;
            struct weir_alarm alarm = { .when = 0 };

            weir_wheel_init(&wheel, start);
            weir_wheel_add(&wheel, &alarm, when);
            assert_true(alarm.when == when);
            assert_null(weir_wheel_pop(&wheel, start));
            assert_null(weir_wheel_pop(&wheel, edge - 1));
            weir_wheel_validate(&wheel);
            assert_ptr_equal(weir_wheel_pop(&wheel, edge), &alarm);
            assert_false(armed(&alarm));
            assert_null(weir_wheel_pop(&wheel, edge));
            assert_int_equal(wheel.armed, 0);
        }
    }
}

static void test_past_fires_at_the_next_pop(void **state)
{
    static const weir_time when[] = { INT64_MIN,         -1, 0, WEIR_SEC(1), 99999 * WEIR_TICK,
                                      100000 * WEIR_TICK };
    weir_time now = 100000 * WEIR_TICK + 77;

    (void)state;
    for (size_t i = 0; i < WEIR_COUNT(when); i++) {
        struct weir_alarm alarm = { .when = 0 };

        weir_wheel_init(&wheel, now);
        weir_wheel_add(&wheel, &alarm, when[i]);
        weir_wheel_validate(&wheel);
        assert_true(weir_wheel_next(&wheel) <= now);
        assert_ptr_equal(weir_wheel_pop(&wheel, now), &alarm);
    }
}

static void test_ticks_in_order_one_tick_as_set(void **state)
{
    struct weir_alarm alarm[4] = { { .when = 0 } };

    (void)state;
    weir_wheel_init(&wheel, 0);
    weir_wheel_add(&wheel, &alarm[2], WEIR_SEC(5) + 2); /* same tick, later time, set first */
    weir_wheel_add(&wheel, &alarm[0], WEIR_SEC(9));
    weir_wheel_pop(&wheel, WEIR_SEC(4)); /* from here it is on another level than before */
    weir_wheel_add(&wheel, &alarm[3], WEIR_SEC(5) + 1);
    weir_wheel_add(&wheel, &alarm[1], WEIR_SEC(4) + WEIR_MS(500));
    assert_ptr_equal(weir_wheel_pop(&wheel, WEIR_SEC(10)), &alarm[1]);
    assert_ptr_equal(weir_wheel_pop(&wheel, WEIR_SEC(10)), &alarm[2]);
    assert_ptr_equal(weir_wheel_pop(&wheel, WEIR_SEC(10)), &alarm[3]);
    assert_ptr_equal(weir_wheel_pop(&wheel, WEIR_SEC(10)), &alarm[0]);
    assert_null(weir_wheel_pop(&wheel, WEIR_SEC(10)));
}

/* One that keeps setting itself for the past gets its turn, and no more. */
static void test_past_for_ever_holds_nobody_up(void **state)
{
    struct weir_alarm greedy = { .when = 0 }, other = { .when = 0 };
    weir_time now = WEIR_SEC(1);

    (void)state;
    weir_wheel_init(&wheel, 0);
    weir_wheel_add(&wheel, &greedy, 0);
    weir_wheel_add(&wheel, &other, now);
    for (int turn = 0; turn < 3 && armed(&other); turn++) {
        struct weir_alarm *alarm = weir_wheel_pop(&wheel, now + WEIR_TICK);

        if (alarm == &greedy)
            weir_wheel_add(&wheel, &greedy, 0);
    }
    assert_false(armed(&other));
}

static void test_never_is_never(void **state)
{
    struct weir_alarm never = { .when = 0 }, almost = { .when = 0 };
    weir_time last = INT64_MAX >> WEIR_TICK_SHIFT << WEIR_TICK_SHIFT; /* the last tick there is */

    (void)state;
    weir_wheel_init(&wheel, 0);
    weir_wheel_add(&wheel, &never, WEIR_NEVER);
    assert_true(weir_wheel_next(&wheel) == WEIR_NEVER);
    assert_int_equal(wheel.armed, 1);
    weir_wheel_add(&wheel, &almost, last);
    assert_true(weir_wheel_next(&wheel) < last);
    weir_wheel_validate(&wheel);
    assert_null(weir_wheel_pop(&wheel, last - 1));
    assert_ptr_equal(weir_wheel_pop(&wheel, INT64_MAX), &almost);
    assert_null(weir_wheel_pop(&wheel, INT64_MAX));
    weir_wheel_del(&wheel, &never);
    assert_false(armed(&never));
    assert_int_equal(wheel.armed, 0);

    weir_wheel_add(&wheel, &never, last + 1); /* its tick comes after the end of time */
    assert_true(weir_wheel_next(&wheel) == WEIR_NEVER);
    weir_wheel_validate(&wheel);
}

static void test_del_clears_the_bit_of_an_emptied_slot_only(void **state)
{
    (void)state;
    for (weir_time span = WEIR_TICK; span < 300 * DAY; span *= 2) {
        struct weir_alarm a = { .when = 0 }, b = { .when = 0 };
        weir_time next;

        weir_wheel_init(&wheel, 0);
        weir_wheel_add(&wheel, &a, span);
        next = weir_wheel_next(&wheel);
        weir_wheel_add(&wheel, &b, span);
        weir_wheel_del(&wheel, &a);
        weir_wheel_validate(&wheel);
        assert_true(weir_wheel_next(&wheel) == next);
        weir_wheel_del(&wheel, &b);
        weir_wheel_validate(&wheel);
        assert_true(weir_wheel_next(&wheel) == WEIR_NEVER);
    }
}

static void test_del_of_one_that_is_due(void **state)
{
    struct weir_alarm a = { .when = 0 }, b = { .when = 0 };

    (void)state;
    weir_wheel_init(&wheel, 0);
    weir_wheel_add(&wheel, &a, WEIR_MS(1));
    weir_wheel_add(&wheel, &b, WEIR_MS(1));
    assert_ptr_equal(weir_wheel_pop(&wheel, WEIR_MS(5)), &a);
    assert_true(weir_wheel_next(&wheel) <= WEIR_MS(5)); /* b waits for its turn */
    weir_wheel_del(&wheel, &b);
    weir_wheel_validate(&wheel);
    assert_null(weir_wheel_pop(&wheel, WEIR_MS(5)));
    assert_true(weir_wheel_next(&wheel) == WEIR_NEVER);
}

static void test_clock_that_goes_back_is_harmless(void **state)
{
    struct weir_alarm a = { .when = 0 };

    (void)state;
    weir_wheel_init(&wheel, WEIR_SEC(10));
    assert_null(weir_wheel_pop(&wheel, WEIR_SEC(20)));
    weir_wheel_add(&wheel, &a, WEIR_SEC(21));
    assert_null(weir_wheel_pop(&wheel, WEIR_SEC(15)));
    weir_wheel_validate(&wheel);
    assert_ptr_equal(weir_wheel_pop(&wheel, WEIR_SEC(22)), &a);
}

/* Sleeping until weir_wheel_next each time, a lone alarm is reached in one step a level and one for
 * every 51 days; and never overslept. */
static void test_next_leads_there_in_few_steps(void **state)
{
    uint64_t seed = random_seed();

    (void)state;
    for (int i = 0; i < 20000; i++) {
        weir_time now = (weir_time)(random_next(&seed) >> (2 + random_below(&seed, 60)));
        weir_time when = now + (weir_time)(random_next(&seed) >> (2 + random_below(&seed, 60)));
        struct weir_alarm alarm = { .when = 0 };
        weir_time most = WEIR_WHEEL_LEVELS + 1 + (when - now) / (50 * DAY), steps = 0;

        weir_wheel_init(&wheel, now);
        weir_wheel_add(&wheel, &alarm, when);
        while (!weir_wheel_pop(&wheel, now)) {
            weir_time next = weir_wheel_next(&wheel);

            assert_true(next > now && next < when + WEIR_TICK);
            now = next;
            assert_true(++steps <= most);
        }
        assert_true(now >= when);
    }
}

/* --- by their times, for a clock that is moved by hand --- */

enum { EXACT_ALARMS = 40, EXACT_STEPS = 400 };

static struct weir_alarm *exact_first(struct weir_alarm *alarms)
{
    struct weir_alarm *first = NULL;

    for (int i = 0; i < EXACT_ALARMS; i++)
        if (armed(&alarms[i]) && (!first || alarms[i].when < first->when))
            first = &alarms[i];
    return first;
}

/* Exact but where the wheel has alarms in its last level only. */
static void exact_check_first(struct weir_alarm *alarms, weir_time now)
{
    const struct weir_alarm *first = exact_first(alarms);
    weir_time said = weir_wheel_first(&wheel);

    if (!first || first->when == WEIR_NEVER) {
        assert_true(said == WEIR_NEVER);
        return;
    }
    assert_true(said <= first->when && said > now);
    if ((((uint64_t)(first->when + WEIR_TICK - 1) ^ (uint64_t)now) >> WEIR_TICK_SHIFT >> 30) == 0)
        assert_true(said == first->when);
}

static void exact_run(uint64_t seed)
{
    static struct weir_alarm alarms[EXACT_ALARMS], *alarm;
    weir_time now = (weir_time)(random_next(&seed) >> (8 + random_below(&seed, 56)));

    weir_wheel_init(&wheel, now);
    memset(alarms, 0, sizeof alarms);
    for (int i = 0; i < EXACT_STEPS; i++) {
        alarm = &alarms[random_below(&seed, EXACT_ALARMS)];
        if (!armed(alarm))
            weir_wheel_add(
                &wheel, alarm,
                random_below(&seed, 64) == 0
                    ? WEIR_NEVER
                    : now + (weir_time)(random_next(&seed) >> (14 + random_below(&seed, 50))));
        else if (random_below(&seed, 4) == 0)
            weir_wheel_del(&wheel, alarm);
        while ((alarm = weir_wheel_pop_exact(&wheel, now)) != NULL)
            assert_true(!armed(alarm) && alarm->when <= now);
        exact_check_first(alarms, now);
        if (random_below(&seed, 3) == 0 && weir_wheel_first(&wheel) != WEIR_NEVER)
            now = random_below(&seed, 8) == 0 ? weir_wheel_first(&wheel) - 1
                                              : weir_wheel_first(&wheel);
        else if (random_below(&seed, 3) == 0)
            now += (weir_time)random_below(&seed, 3 * WEIR_TICK);
        weir_wheel_validate(&wheel);
    }
}

/* One from beyond the wheel's span waits in a slot before that of an earlier one. */
static void test_exact_beyond_the_span(void **state)
{
    const weir_time slot = WEIR_TICK << 30;
    struct weir_alarm far = { .when = 0 }, near = { .when = 0 }, *alarm = NULL;
    weir_time now = 10 * slot;

    (void)state;
    weir_wheel_init(&wheel, 0);
    weir_wheel_add(&wheel, &far, 100 * slot + 1);
    assert_null(weir_wheel_pop_exact(&wheel, now));
    weir_wheel_add(&wheel, &near, 70 * slot + 1);
    for (int steps = 0; !alarm && steps < 10; steps++) {
        assert_true(weir_wheel_first(&wheel) > now);
        now = weir_wheel_first(&wheel);
        alarm = weir_wheel_pop_exact(&wheel, now);
    }
    assert_ptr_equal(alarm, &near);
    assert_int_equal(now, near.when);
    for (alarm = NULL; !alarm; alarm = weir_wheel_pop_exact(&wheel, now))
        now = weir_wheel_first(&wheel);
    assert_ptr_equal(alarm, &far);
    assert_int_equal(now, far.when);
}

static void test_exact_to_the_nanosecond(void **state)
{
    uint64_t seed = random_seed(), rounds = random_rounds(400, 20000);

    (void)state;
    for (uint64_t i = 0; i < rounds; i++)
        exact_run(seed + i);
}

/* --- against an array --- */

enum { ALARMS = 96 };

/* What the model knows of an alarm: the tick it counts as due at, and its place among all settings.
 */
struct entry {
    struct weir_alarm alarm;
    uint64_t tick, order;
    bool armed, far;
};

struct model {
    struct entry entry[ALARMS];
    uint64_t seed, order;
    uint64_t turned; /* the last tick anything was popped at */
    weir_time now;
    unsigned count;
};

static uint64_t ceil_tick(weir_time when)
{
    return when <= 0 ? 0 : ((uint64_t)when + WEIR_TICK - 1) / WEIR_TICK;
}

static weir_time clamped_add(weir_time a, uint64_t b)
{
    return b > (uint64_t)(INT64_MAX - a) ? INT64_MAX : a + (weir_time)b;
}

/* From the far past to the end of time, every magnitude alike, often right at a tick. */
static weir_time model_when(struct model *m)
{
    weir_time when = clamped_add(m->now, random_next(&m->seed) >> (1 + random_below(&m->seed, 63)));

    switch (random_below(&m->seed, 16)) {
    case 0:
        return m->now - (weir_time)(random_next(&m->seed) >> (1 + random_below(&m->seed, 63)));
    case 1:
        return WEIR_NEVER - (weir_time)random_below(&m->seed, 3 * WEIR_TICK);
    case 2:
        return WEIR_NEVER;
    case 3:
        return m->entry[random_below(&m->seed, ALARMS)].alarm.when; /* the same as another */
    case 4:
    case 5:
        return when / WEIR_TICK * WEIR_TICK - 1 + (weir_time)random_below(&m->seed, 2);
    default:
        return when;
    }
}

static void model_add(struct model *m, struct entry *e)
{
    weir_time when = model_when(m);

    weir_wheel_add(&wheel, &e->alarm, when);
    e->tick = weir_max_u64(ceil_tick(when), m->turned);
    e->far = (e->tick >> 30) - (m->turned >> 30) >= WEIR_WHEEL_SLOTS;
    e->order = m->order++;
    e->armed = true;
    m->count++;
}

static void model_del(struct model *m, struct entry *e)
{
    weir_wheel_del(&wheel, &e->alarm);
    e->armed = false;
    m->count--;
}

static struct entry *model_first(struct model *m)
{
    struct entry *first = NULL;

    for (int i = 0; i < ALARMS; i++) {
        struct entry *e = &m->entry[i];

        if (!e->armed)
            continue;
        if (!first || e->tick < first->tick || (e->tick == first->tick && e->order < first->order))
            first = e;
    }
    return first;
}

static bool model_pop(struct model *m)
{
    struct weir_alarm *alarm = weir_wheel_pop(&wheel, m->now);
    struct entry *first = model_first(m), *got;

    m->turned = weir_max_u64(m->turned, (uint64_t)m->now / WEIR_TICK);
    if (!alarm) {
        assert_true(!first || first->tick > m->turned);
        return false;
    }
    got = weir_container_of(alarm, struct entry, alarm);
    assert_true(got->armed && !armed(alarm));
    assert_true(got->tick <= m->turned);
    assert_true(got->tick == first->tick);
    assert_true(got == first || got->far || first->far);
    got->armed = false;
    m->count--;
    return true;
}

static void model_check_next(struct model *m)
{
    struct entry *first = model_first(m);
    weir_time next = weir_wheel_next(&wheel);

    if (!first || first->tick > (uint64_t)INT64_MAX / WEIR_TICK) {
        assert_true(next == WEIR_NEVER);
        return;
    }
    /* What is due already may be said to be due only now. */
    assert_true(next <= (weir_time)(weir_max_u64(first->tick, m->turned) * WEIR_TICK));
    if (first->tick > m->turned) /* else it would have us look again and again */
        assert_true((uint64_t)next / WEIR_TICK > m->turned);
}

static void model_advance(struct model *m)
{
    struct entry *first = model_first(m);
    weir_time next = weir_wheel_next(&wheel), to = m->now;
    uint64_t pick = random_below(&m->seed, 64);

    if (pick < 16)
        to = next;
    else if (pick < 24)
        to = first ? first->alarm.when : to;
    else if (pick < 32)
        to = first ? first->alarm.when - 1 : to;
    else if (pick < 63)
        to = clamped_add(m->now, random_below(&m->seed, 1000 * WEIR_TICK));
    else
        to = clamped_add(m->now, random_next(&m->seed) >> (8 + random_below(&m->seed, 56)));
    if (to > m->now && to < WEIR_NEVER)
        m->now = to;
}

static void model_step(struct model *m)
{
    struct entry *e = &m->entry[random_below(&m->seed, ALARMS)];

    switch (random_below(&m->seed, 8)) {
    case 0:
        model_advance(m);
        break;
    case 1: /* a bounded turn: some may stay due */
        for (uint64_t budget = random_below(&m->seed, 4); budget > 0 && model_pop(m); budget--)
            ;
        break;
    case 2:
        while (model_pop(m))
            ;
        break;
    case 3:
        if (e->armed)
            model_del(m, e);
        break;
    default: /* re-arm, or arm */
        if (e->armed)
            model_del(m, e);
        model_add(m, e);
    }
    assert_int_equal(wheel.armed, m->count);
    model_check_next(m);
}

static void model_run(uint64_t seed, int steps)
{
    static struct model m;

    m = (struct model){ .seed = seed };
    m.now = (weir_time)(random_next(&m.seed) >> (8 + random_below(&m.seed, 56)));
    m.turned = (uint64_t)m.now / WEIR_TICK;
    weir_wheel_init(&wheel, m.now);
    for (int i = 0; i < steps; i++) {
        model_step(&m);
        if (i % 8 == 0)
            weir_wheel_validate(&wheel);
    }
    m.now = INT64_MAX; /* all but the never ones come out */
    while (model_pop(&m))
        ;
    weir_wheel_validate(&wheel);
}

static void test_like_an_array(void **state)
{
    uint64_t seed = random_seed(), rounds = random_rounds(400, 40000);

    (void)state;
    for (uint64_t i = 0; i < rounds; i++)
        model_run(seed + i, 2000);
}

/* --- misuse --- */

static void add_twice(void *arg)
{
    struct weir_alarm a = { .when = 0 };

    (void)arg;
    weir_wheel_init(&wheel, 0);
    weir_wheel_add(&wheel, &a, 1);
    weir_wheel_add(&wheel, &a, 2);
}

static void del_unarmed(void *arg)
{
    struct weir_alarm a = { .when = 0 };

    weir_wheel_init(&wheel, 0);
    if (arg)
        weir_list_init(&a.link);
    weir_wheel_del(&wheel, &a);
}

static void validate_broken(void *arg)
{
    struct weir_alarm a = { .when = 0 };

    weir_wheel_init(&wheel, 0);
    weir_wheel_add(&wheel, &a, WEIR_SEC(1));
    switch (*(int *)arg) {
    case 0:
        wheel.occupied[1] |= 1;
        break;
    case 1:
        wheel.armed++;
        break;
    case 2:
        a.when = WEIR_SEC(100);
        break;
    default:
        wheel.tick = 1 << 20;
    }
    weir_wheel_validate(&wheel);
}

static void test_misuse_panics(void **state)
{
    (void)state;
    assert_panics(add_twice, NULL, "!weir_wheel_armed(alarm)");
    assert_panics(del_unarmed, NULL, "weir_wheel_armed(alarm)");
    assert_panics(del_unarmed, &wheel, "weir_wheel_armed(alarm)");
    for (int i = 0; i < 4; i++)
        assert_panics(validate_broken, &i, "assertion failed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_wheel_has_nothing),
        cmocka_unit_test(test_never_early_never_a_tick_late),
        cmocka_unit_test(test_past_fires_at_the_next_pop),
        cmocka_unit_test(test_ticks_in_order_one_tick_as_set),
        cmocka_unit_test(test_past_for_ever_holds_nobody_up),
        cmocka_unit_test(test_never_is_never),
        cmocka_unit_test(test_del_clears_the_bit_of_an_emptied_slot_only),
        cmocka_unit_test(test_del_of_one_that_is_due),
        cmocka_unit_test(test_clock_that_goes_back_is_harmless),
        cmocka_unit_test(test_next_leads_there_in_few_steps),
        cmocka_unit_test(test_exact_to_the_nanosecond),
        cmocka_unit_test(test_exact_beyond_the_span),
        cmocka_unit_test(test_like_an_array),
        cmocka_unit_test(test_misuse_panics),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
