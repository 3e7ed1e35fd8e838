/* test_block_on.c - the runtime as an object: results, who may call what from where, other threads,
 * and its end with work in flight. */
#include "tests/sched/run.h"
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <weir/blocking.h>
#include <weir/file.h>
#include <weir/net.h>
#include <weir/process.h>
#include <weir/resolve.h>
#include <weir/udp.h>

static void config_of(struct weir_config *config, enum weir_flavour flavour)
{
    weir_config_init(config);
    config->flavour = flavour;
    config->shards = flavour == WEIR_CURRENT_THREAD ? 0 : 2;
    config->quiet = true;
    config->signals = false;
}

static struct weir_runtime *runtime_of(enum weir_flavour flavour)
{
    struct weir_runtime *runtime;
    struct weir_config config;

    config_of(&config, flavour);
    check_int(weir_runtime_new(&runtime, &config), 0);
    return runtime;
}

static const enum weir_flavour flavours[] = { WEIR_CURRENT_THREAD, WEIR_SHARDED };

/* --- results --- */

static int64_t twice(void *arg)
{
    return *(int64_t *)arg * 2;
}

static int64_t naps(void *arg)
{
    return weir_sleep(*(weir_time *)arg);
}

/* Which shard of how many. */
static int64_t where(void *arg)
{
    check(weir_on_shard());
    check(weir_runtime_here() == arg);
    return 100 * weir_shard_id() + weir_shard_count();
}

static void results_of(struct weir_runtime *runtime, unsigned shards)
{
    int64_t number = 21, result = -1;
    weir_time nap = WEIR_MS(1);

    assert_int_equal(weir_block_on(runtime, twice, &number, &result), 0);
    assert_int_equal(result, 42);
    number = INT64_MIN / 2; /* any value is a result */
    assert_int_equal(weir_block_on(runtime, twice, &number, &result), 0);
    assert_true(result == INT64_MIN);
    assert_int_equal(weir_block_on(runtime, twice, &number, NULL), 0);
    assert_int_equal(weir_block_on(runtime, naps, &nap, &result), 0);
    assert_int_equal(result, 0);
    assert_int_equal(weir_block_on(runtime, where, runtime, &result), 0);
    assert_int_equal(result, shards);
    assert_int_equal(weir_submit(runtime, shards - 1, where, runtime, &result), 0);
    assert_int_equal(result, 100 * (shards - 1) + shards);
    assert_int_equal(weir_submit(runtime, shards, where, runtime, &result), -EINVAL);
    assert_int_equal(result, 100 * (shards - 1) + shards);
    assert_false(weir_on_shard());
}

static void it_returns_what_the_function_does(void **state)
{
    struct weir_runtime *runtime;

    (void)state;
    runtime = runtime_of(WEIR_CURRENT_THREAD);
    results_of(runtime, 1);
    weir_runtime_free(runtime);
    runtime = runtime_of(WEIR_SHARDED);
    results_of(runtime, 2);
    weir_runtime_free(runtime);
    weir_runtime_free(NULL);
}

/* --- other fibers run meanwhile, and only then --- */

static void counts_up(void *arg)
{
    do
        ++*(int *)arg;
    while (weir_sleep(WEIR_US(100)) == 0);
    *(int *)arg = -1;
}

static int64_t starts_counting(void *arg)
{
    return weir_spawn_on(weir_shard_id(), counts_up, arg, WEIR_NEVER);
}

static int64_t waits_for_count(void *arg)
{
    const int *count = arg;
    int before = *count;

    while (*count == before)
        check_int(weir_sleep(WEIR_US(50)), 0);
    return *count;
}

static void others_run_while_it_waits(void **state)
{
    struct weir_runtime *runtime = runtime_of(WEIR_CURRENT_THREAD);
    int64_t result;
    int count = 0, before;

    (void)state;
    assert_int_equal(weir_block_on(runtime, starts_counting, &count, &result), 0);
    assert_int_equal(result, 0);
    before = count;
    usleep(2000);
    assert_int_equal(count, before); /* nobody runs it */
    assert_int_equal(weir_block_on(runtime, waits_for_count, &count, &result), 0);
    assert_true(result > before);
    weir_runtime_free(runtime);
    assert_int_equal(count, -1); /* it was cancelled, and ended */
}

/* --- no room for a fiber; no runtime any more --- */

struct guest {
    struct weir_runtime *runtime;
    pthread_t thread;
    int64_t number, result;
    int error;
    _Atomic bool over;
};

static void *guest_submits(void *arg)
{
    struct guest *guest = arg;

    guest->error = weir_submit(guest->runtime, 0, twice, &guest->number, &guest->result);
    guest->over = true;
    return NULL;
}

static int64_t has_the_only_fiber(void *arg)
{
    struct guest *guest = arg;

    check_int(pthread_create(&guest->thread, NULL, guest_submits, guest), 0);
    while (!guest->over)
        weir_yield();
    pthread_join(guest->thread, NULL);
    return guest->error;
}

static void without_a_fiber_it_says_so(void **state)
{
    struct guest guest = { .number = 4, .result = 5 };
    struct weir_config config;
    int64_t result;

    (void)state;
    config_of(&config, WEIR_CURRENT_THREAD);
    config.fibers_max = 1;
    assert_int_equal(weir_runtime_new(&guest.runtime, &config), 0);
    assert_int_equal(weir_block_on(guest.runtime, has_the_only_fiber, &guest, &result), 0);
    assert_int_equal(result, -EAGAIN);
    assert_int_equal(guest.result, 5); /* untouched */
    assert_int_equal(weir_block_on(guest.runtime, twice, &guest.number, &result), 0);
    assert_int_equal(result, 8);
    weir_runtime_free(guest.runtime);
}

static void after_the_cut(enum weir_flavour flavour)
{
    weir_time nap = WEIR_SEC(1000);
    struct weir_runtime *runtime;
    struct weir_config config;
    int64_t result;
    int error;

    config_of(&config, flavour);
    config.grace = 0;
    assert_int_equal(weir_runtime_new(&runtime, &config), 0);
    weir_runtime_stop(runtime);
    while ((error = weir_block_on(runtime, naps, &nap, &result)) == 0)
        assert_int_equal(result, -ECANCELED);
    assert_int_equal(error, -ESHUTDOWN);
    assert_int_equal(weir_submit(runtime, 0, naps, &nap, NULL), -ESHUTDOWN);
    weir_runtime_free(runtime);
}

static void after_its_end_it_says_so(void **state)
{
    (void)state;
    after_the_cut(WEIR_CURRENT_THREAD);
    after_the_cut(WEIR_SHARDED);
}

/* --- from several threads at once --- */

enum { THREADS = 4, SUBMITS = 300 };

struct crowd {
    struct weir_runtime *runtime;
    struct weir_future all;
    unsigned shards;
    int64_t sum[2];     /* of each shard, which alone touches it */
    _Atomic int left;   /* threads that still submit */
    _Atomic bool ready; /* `all` is there */
};

struct member {
    struct crowd *crowd;
    pthread_t thread;
    unsigned from;
};

static int64_t adds(void *arg)
{
    struct crowd *crowd = arg;

    if (++crowd->sum[weir_shard_id()] % 3 == 0)
        weir_yield();
    if (crowd->sum[weir_shard_id()] % 50 == 0)
        check_int(weir_sleep(1), 0);
    return weir_shard_id();
}

static int64_t last_one(void *arg)
{
    struct crowd *crowd = arg;

    weir_future_set(&crowd->all, 0);
    return 0;
}

static void *member_submits(void *arg)
{
    struct member *member = arg;
    struct crowd *crowd = member->crowd;
    int64_t result;

    while (!crowd->ready)
        sched_yield();
    for (unsigned i = 0; i < SUBMITS; i++) {
        unsigned to = (member->from + i) % crowd->shards;

        check_int(weir_submit(crowd->runtime, to, adds, crowd, &result), 0);
        check_int(result, to);
    }
    if (--crowd->left == 0)
        check_int(weir_submit(crowd->runtime, 0, last_one, crowd, NULL), 0);
    return NULL;
}

static int64_t waits_for_all(void *arg)
{
    struct crowd *crowd = arg;

    weir_future_init(&crowd->all, NULL);
    crowd->ready = true;
    return weir_await(&crowd->all, WEIR_NEVER);
}

static void crowd_comes(enum weir_flavour flavour)
{
    struct crowd crowd = { .runtime = runtime_of(flavour),
                           .shards = flavour == WEIR_SHARDED ? 2 : 1,
                           .left = THREADS };
    struct member member[THREADS];
    int64_t result = -1;

    for (unsigned i = 0; i < THREADS; i++) {
        member[i] = (struct member){ .crowd = &crowd, .from = i };
        check_int(pthread_create(&member[i].thread, NULL, member_submits, &member[i]), 0);
    }
    assert_int_equal(weir_block_on(crowd.runtime, waits_for_all, &crowd, &result), 0);
    assert_int_equal(result, 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(member[i].thread, NULL);
    assert_int_equal(crowd.sum[0] + crowd.sum[1], THREADS * SUBMITS);
    weir_runtime_free(crowd.runtime);
}

static void threads_submit_at_once(void **state)
{
    (void)state;
    crowd_comes(WEIR_CURRENT_THREAD);
    crowd_comes(WEIR_SHARDED);
}

/* A thread of the pool is no shard's: it may ask the runtime it belongs to. */
static int64_t job_submits(void *arg)
{
    struct guest *guest = arg;

    check_int(weir_submit(guest->runtime, 0, twice, &guest->number, &guest->result), 0);
    return guest->result;
}

static int64_t has_a_job_submit(void *arg)
{
    return weir_blocking(job_submits, arg);
}

static void a_job_may_submit(void **state)
{
    (void)state;
    for (size_t i = 0; i < WEIR_COUNT(flavours); i++) {
        struct guest guest = { .runtime = runtime_of(flavours[i]), .number = 21 };
        int64_t result;

        assert_int_equal(weir_block_on(guest.runtime, has_a_job_submit, &guest, &result), 0);
        assert_int_equal(result, 42);
        weir_runtime_free(guest.runtime);
    }
}

/* --- freed with work in flight --- */

struct flight {
    struct weir_alarm alarm;
    struct weir_listener *listener;
    int fd[2];
    _Atomic int cancelled; /* fibers that were told */
    _Atomic int ran;       /* jobs */
    _Atomic bool begun;
};

static void flies_asleep(void *arg)
{
    struct flight *flight = arg;

    check_int(weir_sleep(WEIR_SEC(1000)), -ECANCELED);
    weir_yield(); /* winding up may take turns */
    flight->cancelled++;
}

static void flies_accepting(void *arg)
{
    struct flight *flight = arg;
    struct weir_conn *conn;

    check_int(weir_accept(flight->listener, &conn, WEIR_NEVER), -ECANCELED);
    weir_listener_close(flight->listener);
    flight->cancelled++;
}

static int64_t job_runs(void *arg)
{
    struct flight *flight = arg;

    flight->begun = true;
    usleep(10000);
    flight->ran++;
    return 7;
}

static void flies_with_job(void *arg)
{
    struct flight *flight = arg;

    if (weir_blocking(job_runs, arg) == -ECANCELED)
        flight->cancelled++; /* it had not begun */
}

static void never_fires(struct weir_alarm *alarm)
{
    (void)alarm;
    check(false);
}

static int64_t take_off(void *arg)
{
    struct flight *flight = arg;

    weir_alarm_init(&flight->alarm, never_fires);
    weir_alarm_set(&flight->alarm, weir_after(WEIR_SEC(1000)));
    check_int(weir_listen(&flight->listener, "127.0.0.1:0", NULL), 0);
    check_int(weir_spawn_on(0, flies_accepting, arg, WEIR_NEVER), 0);
    for (int i = 0; i < 10; i++)
        check_int(weir_spawn_on(0, flies_asleep, arg, WEIR_NEVER), 0);
    check_int(weir_spawn_on(0, flies_with_job, arg, WEIR_NEVER), 0);
    check_int(weir_spawn_on(0, flies_with_job, arg, WEIR_NEVER), 0);
    while (!flight->begun)
        weir_yield();
    return 0;
}

static void it_ends_with_work_in_flight(void **state)
{
    (void)state;
    for (size_t i = 0; i < WEIR_COUNT(flavours); i++) {
        struct flight flight = { .begun = false };
        struct weir_runtime *runtime;
        struct weir_config config;

        config_of(&config, flavours[i]);
        config.blocking_threads = 1;
        assert_int_equal(weir_runtime_new(&runtime, &config), 0);
        assert_int_equal(weir_block_on(runtime, take_off, &flight, NULL), 0);
        weir_runtime_free(runtime);
        assert_int_equal(flight.ran + flight.cancelled, 13); /* the job that ran is one of them */
        assert_true(flight.ran >= 1);
    }
}

/* --- several runtimes --- */

static void one_after_the_other(void **state)
{
    int64_t number = 21, result;

    (void)state;
    for (int i = 0; i < 10; i++) {
        struct weir_runtime *runtime = runtime_of(flavours[i % 2]);

        assert_int_equal(weir_block_on(runtime, twice, &number, &result), 0);
        assert_int_equal(result, 42);
        weir_runtime_free(runtime);
    }
}

struct beside {
    enum weir_flavour flavour;
    pthread_t thread;
    int64_t sum;
};

static void *beside_runs(void *arg)
{
    struct beside *beside = arg;

    for (int i = 0; i < 5; i++) {
        struct weir_runtime *runtime = runtime_of(beside->flavour);
        weir_time nap = WEIR_US(100);

        for (int64_t n = 1; n <= 20; n++) {
            int64_t result;

            check_int(weir_block_on(runtime, twice, &n, &result), 0);
            beside->sum += result;
            check_int(weir_block_on(runtime, naps, &nap, &result), 0);
            beside->sum += result;
        }
        weir_runtime_free(runtime);
    }
    return NULL;
}

static void side_by_side(void **state)
{
    struct beside beside[3] = { { .flavour = WEIR_CURRENT_THREAD },
                                { .flavour = WEIR_CURRENT_THREAD },
                                { .flavour = WEIR_SHARDED } };

    (void)state;
    for (size_t i = 0; i < WEIR_COUNT(beside); i++)
        assert_int_equal(pthread_create(&beside[i].thread, NULL, beside_runs, &beside[i]), 0);
    for (size_t i = 0; i < WEIR_COUNT(beside); i++) {
        pthread_join(beside[i].thread, NULL);
        assert_int_equal(beside[i].sum, 5 * 420);
    }
}

static int64_t runs_over(void *arg)
{
    char big[1024];
    volatile char *at = big;

    at[0] = 1;
    return arg == big ? 0 : runs_over(big) + at[0];
}

/* The second is used when the first, which was made before it, is gone: also its overflow is told,
 * on the signal stack of the thread that had two. */
static void two_of_one_thread(void *arg)
{
    struct weir_runtime *first = runtime_of(WEIR_CURRENT_THREAD);
    struct weir_runtime *second = runtime_of(WEIR_CURRENT_THREAD);
    struct weir_runtime *left = *(bool *)arg ? first : second;
    int64_t number = 21, result;

    for (int i = 0; i < 3; i++) {
        check_int(weir_block_on(first, where, first, &result), 0);
        check_int(weir_block_on(second, where, second, &result), 0);
    }
    weir_runtime_free(*(bool *)arg ? second : first);
    check_int(weir_block_on(left, twice, &number, &result), 0);
    check_int(result, 42);
    weir_block_on(left, runs_over, NULL, NULL);
}

/* In whichever order they go, the thread has then the signal stack it had before. */
static void makes_and_frees_two(bool first)
{
    struct weir_runtime *runtime[2];
    stack_t before, after;

    check_int(sigaltstack(NULL, &before), 0);
    for (int i = 0; i < 2; i++)
        runtime[i] = runtime_of(WEIR_CURRENT_THREAD);
    weir_runtime_free(runtime[first]);
    weir_runtime_free(runtime[!first]);
    check_int(sigaltstack(NULL, &after), 0);
    assert_int_equal(before.ss_flags, after.ss_flags);
    if (!(before.ss_flags & SS_DISABLE))
        assert_ptr_equal(before.ss_sp, after.ss_sp);
}

static void one_thread_has_two(void **state)
{
    bool first = true, second = false;

    (void)state;
    makes_and_frees_two(first);
    makes_and_frees_two(second);
    assert_panics(two_of_one_thread, &first, "stack overflow");
    assert_panics(two_of_one_thread, &second, "stack overflow");
}

/* --- names --- */

/* Of how many threads of this process. */
static int threads_named(const char *name)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *entry;
    int count = 0;

    check(tasks != NULL);
    while ((entry = readdir(tasks)) != NULL) {
        char path[300], comm[32] = "";
        FILE *file;

        snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
        file = entry->d_name[0] == '.' ? NULL : fopen(path, "r");
        if (!file)
            continue;
        if (fgets(comm, sizeof comm, file))
            comm[strcspn(comm, "\n")] = '\0';
        count += strcmp(comm, name) == 0;
        fclose(file);
    }
    closedir(tasks);
    return count;
}

static int64_t counts_job_threads(void *arg)
{
    return threads_named(arg);
}

static int64_t job_named(void *arg)
{
    return weir_blocking(counts_job_threads, arg);
}

static void threads_have_names(void **state)
{
    char pool[] = "longest-nam-blk";
    struct weir_runtime *runtime;
    struct weir_config config;
    char own[16], now[16];
    int64_t result;

    (void)state;
    pthread_getname_np(pthread_self(), own, sizeof own);
    config_of(&config, WEIR_SHARDED);
    config.thread_name = "longest-nam";
    assert_int_equal(weir_runtime_new(&runtime, &config), 0);
    assert_int_equal(threads_named("longest-nam-0"), 1);
    assert_int_equal(threads_named("longest-nam-1"), 1);
    assert_int_equal(weir_block_on(runtime, job_named, pool, &result), 0);
    assert_int_equal(result, 1);
    weir_runtime_free(runtime);
    assert_int_equal(threads_named("longest-nam-0"), 0);
    config_of(&config, WEIR_CURRENT_THREAD);
    config.thread_name = "longest-nam";
    assert_int_equal(weir_runtime_new(&runtime, &config), 0);
    assert_int_equal(weir_block_on(runtime, job_named, pool, &result), 0);
    assert_int_equal(result, 1);
    assert_int_equal(threads_named("longest-nam-0"), 0); /* it has no thread of its own */
    pthread_getname_np(pthread_self(), now, sizeof now);
    assert_string_equal(now, own);
    weir_runtime_free(runtime);
}

static void one_shard_is_what_it_has(void **state)
{
    struct weir_runtime *runtime;
    struct weir_config config;
    int64_t result;

    (void)state;
    config_of(&config, WEIR_CURRENT_THREAD);
    config.shards = 2;
    assert_int_equal(weir_runtime_new(&runtime, &config), -EINVAL);
    config.shards = 1;
    assert_int_equal(weir_runtime_new(&runtime, &config), 0);
    assert_int_equal(weir_block_on(runtime, where, runtime, &result), 0);
    assert_int_equal(result, 1);
    weir_runtime_free(runtime);
}

/* --- misuse: a runtime inside a runtime --- */

static int64_t blocks_on(void *arg)
{
    return weir_block_on(arg, twice, NULL, NULL);
}

static int64_t submits(void *arg)
{
    return weir_submit(arg, 0, twice, NULL, NULL);
}

static int64_t frees(void *arg)
{
    weir_runtime_free(arg);
    return 0;
}

static int64_t makes(void *arg)
{
    (void)arg;
    runtime_of(WEIR_CURRENT_THREAD);
    return 0;
}

static void nothing(void *arg)
{
    (void)arg;
}

static int64_t runs(void *arg)
{
    struct weir_config config;

    (void)arg;
    config_of(&config, WEIR_CURRENT_THREAD);
    return weir_run(&config, nothing, NULL);
}

struct inside {
    int64_t (*fn)(void *arg);
    const char *sentence;
};

static const struct inside insides[] = {
    { blocks_on, "weir_block_on: this thread runs a shard, which everything on it would wait for; "
                 "await here, call another shard with weir_call, or hand what blocks to "
                 "weir_blocking" },
    { submits, "weir_submit: this thread runs a shard" },
    { frees, "weir_runtime_free: this thread runs a shard" },
    { makes, "a runtime cannot be started inside another, and a shard runs on this thread: await "
             "here, call another shard with weir_call, or hand what blocks to weir_blocking" },
    { runs, "a runtime cannot be started inside another" },
};

static void run_inside(void *arg)
{
    struct weir_runtime *runtime = runtime_of(WEIR_CURRENT_THREAD);

    weir_block_on(runtime, ((const struct inside *)arg)->fn, runtime, NULL);
}

static void run_inside_sharded(void *arg)
{
    struct weir_runtime *runtime = runtime_of(WEIR_SHARDED);

    weir_block_on(runtime, ((const struct inside *)arg)->fn, runtime, NULL);
}

static void not_inside_another(void **state)
{
    (void)state;
    for (size_t i = 0; i < WEIR_COUNT(insides); i++) {
        struct inside inside = insides[i];

        assert_panics(run_inside, &inside, inside.sentence);
        assert_panics(run_inside_sharded, &inside, inside.sentence);
    }
}

/* --- misuse: another thread's --- */

static void *blocks_on_another(void *arg)
{
    blocks_on(arg);
    return NULL;
}

static void *frees_anothers(void *arg)
{
    weir_runtime_free(arg);
    return NULL;
}

static void run_in_thread(void *arg)
{
    pthread_t thread;

    check_int(pthread_create(&thread, NULL, (void *(*)(void *))(uintptr_t)arg,
                             runtime_of(WEIR_CURRENT_THREAD)),
              0);
    pthread_join(thread, NULL);
}

static void not_by_another_thread(void **state)
{
    (void)state;
    assert_panics(run_in_thread, (void *)(uintptr_t)blocks_on_another,
                  "weir_block_on: a current-thread runtime is run by the thread that made it, and "
                  "this is another; use weir_submit here");
    assert_panics(run_in_thread, (void *)(uintptr_t)frees_anothers,
                  "weir_runtime_free: a current-thread runtime is freed by the thread that made "
                  "it, and this is another");
}

/* --- misuse: nothing there --- */

static void spawns(void *arg)
{
    struct weir_scope scope;

    weir_scope_init(&scope);
    weir_spawn(&scope, nothing, arg);
}

static void sleeps(void *arg)
{
    (void)arg;
    weir_sleep(1);
}

static void sleeps_until(void *arg)
{
    (void)arg;
    weir_sleep_until(1);
}

static void sets_an_alarm(void *arg)
{
    static struct weir_alarm alarm;

    (void)arg;
    weir_alarm_init(&alarm, never_fires);
    weir_alarm_set(&alarm, 1);
}

static void awaits(void *arg)
{
    struct weir_future future;

    (void)arg;
    weir_future_init(&future, NULL);
    weir_await(&future, WEIR_NEVER);
}

static void awaits_a_while(void *arg)
{
    struct weir_future future;

    (void)arg;
    weir_future_init(&future, NULL);
    weir_await(&future, weir_after(WEIR_SEC(1)));
}

static void yields(void *arg)
{
    (void)arg;
    weir_yield();
}

static void asks_the_time(void *arg)
{
    (void)arg;
    weir_now();
}

static void has_it_done(void *arg)
{
    weir_blocking(twice, arg);
}

static void calls(void *arg)
{
    weir_call(0, twice, arg, WEIR_NEVER);
}

static void listens(void *arg)
{
    struct weir_listener *listener;

    (void)arg;
    weir_listen(&listener, "127.0.0.1:0", NULL);
}

static void connects(void *arg)
{
    struct weir_conn *conn;

    (void)arg;
    weir_connect(&conn, "127.0.0.1:1", WEIR_NEVER);
}

static void opens_udp(void *arg)
{
    struct weir_udp *udp;

    (void)arg;
    weir_udp_open(&udp, "127.0.0.1:0", NULL);
}

static void opens_a_file(void *arg)
{
    struct weir_file file;

    (void)arg;
    weir_file_open(&file, "/dev/null", 0, 0, WEIR_NEVER);
}

static void starts_a_process(void *arg)
{
    static const char *const argv[] = { "/bin/true", NULL };
    struct weir_process_config config;
    struct weir_process *process;

    (void)arg;
    weir_process_config_init(&config, argv);
    weir_process_spawn(&process, &config, NULL);
}

static void resolves(void *arg)
{
    struct weir_addr addr;

    (void)arg;
    weir_resolve("name.invalid:80", &addr, 1, NULL, WEIR_NEVER);
}

struct lack {
    void (*fn)(void *arg);
    const char *call;
};

static const struct lack without_runtime[] = {
    { spawns, "weir_spawn" },
    { sleeps, "weir_sleep" },
    { sleeps_until, "weir_sleep_until" },
    { sets_an_alarm, "weir_alarm_set" },
    { awaits, "weir_await" },
    { yields, "weir_yield" },
    { asks_the_time, "weir_now" },
    { has_it_done, "weir_blocking" },
    { calls, "weir_call" },
    { listens, "weir_listen" },
    { connects, "weir_connect" },
    { opens_udp, "weir_udp_open" },
    { opens_a_file, "weir_file_open" },
    { starts_a_process, "weir_process_spawn" },
    { resolves, "weir_resolve" },
};

static const struct lack without_io[] = {
    { listens, "weir_listen" },     { connects, "weir_connect" },
    { opens_udp, "weir_udp_open" }, { starts_a_process, "weir_process_spawn" },
    { resolves, "weir_resolve" },
};

static const struct lack without_timers[] = {
    { sleeps, "weir_sleep" },
    { sleeps_until, "weir_sleep_until" },
    { sets_an_alarm, "weir_alarm_set" },
    { awaits_a_while, "weir_alarm_set" },
};

static void no_runtime_no_call(void **state)
{
    char sentence[200];

    (void)state;
    for (size_t i = 0; i < WEIR_COUNT(without_runtime); i++) {
        snprintf(sentence, sizeof sentence,
                 "weir: %s: no shard runs on this thread; start a runtime with weir_run, or with "
                 "weir_runtime_new and weir_block_on",
                 without_runtime[i].call);
        assert_panics(without_runtime[i].fn, NULL, sentence);
    }
}

struct run {
    const struct weir_config *config;
    void (*fn)(void *arg);
};

static int64_t calls_fn(void *arg)
{
    ((const struct run *)arg)->fn(NULL);
    return 0;
}

static void run_with(void *arg)
{
    const struct run *run = arg;
    struct weir_runtime *runtime;

    check_int(weir_runtime_new(&runtime, run->config), 0);
    weir_block_on(runtime, calls_fn, arg, NULL);
}

static void what_is_off_says_so(void **state)
{
    struct weir_config no_io, no_timers;
    char sentence[200];

    (void)state;
    config_of(&no_io, WEIR_CURRENT_THREAD);
    no_io.io = false;
    for (size_t i = 0; i < WEIR_COUNT(without_io); i++) {
        struct run run = { &no_io, without_io[i].fn };

        snprintf(sentence, sizeof sentence,
                 "weir: %s: this runtime has no sockets; set weir_config.io to have them",
                 without_io[i].call);
        assert_panics(run_with, &run, sentence);
    }
    config_of(&no_timers, WEIR_CURRENT_THREAD);
    no_timers.timers = false;
    for (size_t i = 0; i < WEIR_COUNT(without_timers); i++) {
        struct run run = { &no_timers, without_timers[i].fn };

        snprintf(sentence, sizeof sentence,
                 "weir: %s: this runtime has no timers, so nothing can sleep or have a deadline; "
                 "set weir_config.timers to have them",
                 without_timers[i].call);
        assert_panics(run_with, &run, sentence);
    }
}

/* What needs neither works, the end included. */
static int64_t works_without(void *arg)
{
    struct weir_scope scope;

    (void)arg;
    weir_scope_init(&scope);
    for (int i = 0; i < 3; i++)
        check_int(weir_spawn(&scope, nothing, NULL), 0);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    weir_yield();
    check(weir_now() > 0);
    check(strcmp(weir_stack_name(), "none") == 0);
    weir_stop();
    weir_yield();
    return weir_blocking(twice, &(int64_t){ 21 });
}

static void the_rest_works_without(void **state)
{
    struct weir_runtime *runtime;
    struct weir_config config;
    int64_t result;

    (void)state;
    for (size_t i = 0; i < WEIR_COUNT(flavours); i++) {
        config_of(&config, flavours[i]);
        config.io = config.timers = false;
        assert_int_equal(weir_runtime_new(&runtime, &config), 0);
        assert_int_equal(weir_block_on(runtime, works_without, NULL, &result), 0);
        assert_int_equal(result, 42);
        weir_runtime_free(runtime);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_returns_what_the_function_does),
        cmocka_unit_test(others_run_while_it_waits),
        cmocka_unit_test(without_a_fiber_it_says_so),
        cmocka_unit_test(after_its_end_it_says_so),
        cmocka_unit_test(threads_submit_at_once),
        cmocka_unit_test(a_job_may_submit),
        cmocka_unit_test(it_ends_with_work_in_flight),
        cmocka_unit_test(one_after_the_other),
        cmocka_unit_test(side_by_side),
        cmocka_unit_test(one_thread_has_two),
        cmocka_unit_test(threads_have_names),
        cmocka_unit_test(one_shard_is_what_it_has),
        cmocka_unit_test(not_inside_another),
        cmocka_unit_test(not_by_another_thread),
        cmocka_unit_test(no_runtime_no_call),
        cmocka_unit_test(what_is_off_says_so),
        cmocka_unit_test(the_rest_works_without),
    };

    cmocka_set_test_filter(getenv("WEIR_CASE"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
