/* bench_rows.c - what users of Tokio and Node compare a runtime by; one figure for each row asked
 * for.
 *
 * Prints "ROW VALUE"; without arguments, the rows it has.  perf/peers/ has the same rows on the
 * others, and the series runtimes of ./dev bench runs them beside each other.  Public calls only
 * and the defaults, with a socket stack below, as a user would write it.  "one" rows run on one
 * shard, "two" rows across two. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <weir/weir.h>

enum { BATCH = 64, MILLION = 1000000, SLEEPERS = 10000, TICKS = 500, PARKED = 50000 };

static double value; /* of the row that runs */

static void check(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "bench_rows: %s\n", what);
    exit(1);
}

static weir_time clock_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return WEIR_SEC(now.tv_sec) + now.tv_nsec;
}

/* Nanoseconds for each of n. */
static double per(weir_time begun, uint64_t n)
{
    return (double)(clock_now() - begun) / (double)n;
}

static void spawn_batch(struct weir_scope *scope, void (*fn)(void *arg), void *arg)
{
    for (int i = 0; i < BATCH; i++)
        check(weir_spawn(scope, fn, arg) == 0, "no fiber could be spawned");
}

/* --- fibers --- */

static void nothing(void *arg)
{
    (void)arg;
}

static void spawn_join(void *arg)
{
    enum { N = 100000 };
    weir_time begun = clock_now();
    struct weir_scope scope;

    (void)arg;
    weir_scope_init(&scope);
    for (int i = 0; i < N; i++) {
        weir_spawn(&scope, nothing, NULL);
        weir_scope_join(&scope, WEIR_NEVER);
    }
    value = per(begun, N);
}

static void spawn_join_64(void *arg)
{
    enum { N = 2000 };
    weir_time begun = clock_now();
    struct weir_scope scope;

    (void)arg;
    weir_scope_init(&scope);
    for (int i = 0; i < N; i++) {
        spawn_batch(&scope, nothing, NULL);
        weir_scope_join(&scope, WEIR_NEVER);
    }
    value = per(begun, (uint64_t)N * BATCH);
}

static void yields(void *arg)
{
    for (int left = *(int *)arg; left > 0; left--)
        weir_yield();
}

static void yield_64(void *arg)
{
    int n = 10000;
    struct weir_scope scope;
    weir_time begun;

    (void)arg;
    weir_scope_init(&scope);
    spawn_batch(&scope, yields, &n);
    begun = clock_now();
    weir_scope_join(&scope, WEIR_NEVER);
    value = per(begun, (uint64_t)n * BATCH);
}

/* A unit that is there: what an await costs that need not wait. */
static void await_ready(void *arg)
{
    weir_time begun;
    struct weir_sem sem;

    (void)arg;
    weir_sem_init(&sem, 0);
    begun = clock_now();
    for (int i = 0; i < MILLION; i++) {
        weir_sem_post(&sem, 1);
        weir_sem_wait(&sem, 1, WEIR_NEVER);
    }
    value = per(begun, MILLION);
}

/* --- channels: there and back --- */

struct post {
    struct weir_mpsc *out, *home;
    uint64_t n;
};

/* A request is where the answer goes. */
static void oneshot_echo(void *arg)
{
    struct post *post = arg;
    struct weir_oneshot *letter;

    for (int64_t i = 0; weir_mpsc_recv(post->out, &letter, WEIR_NEVER) == 0; i++)
        weir_oneshot_send(letter, i);
}

static void oneshot_ask(struct post *post)
{
    weir_time begun = clock_now();

    for (uint64_t i = 0; i < post->n; i++) {
        struct weir_oneshot answer, *letter = &answer;
        int64_t got = -1;

        weir_oneshot_init(&answer);
        check(weir_mpsc_send(post->out, &letter, WEIR_NEVER) == 0, "a request was not sent");
        weir_oneshot_recv(&answer, &got, WEIR_NEVER);
        check(got == (int64_t)i, "an answer is wrong");
    }
    value = per(begun, post->n);
}

static void mpsc_echo(void *arg)
{
    struct post *post = arg;
    uint64_t number;

    while (weir_mpsc_recv(post->out, &number, WEIR_NEVER) == 0)
        weir_mpsc_send(post->home, &number, WEIR_NEVER);
}

static void mpsc_ask(struct post *post)
{
    weir_time begun = clock_now();

    for (uint64_t i = 0; i < post->n; i++) {
        uint64_t number = i;

        check(weir_mpsc_send(post->out, &number, WEIR_NEVER) == 0, "a message was not sent");
        number = UINT64_MAX;
        weir_mpsc_recv(post->home, &number, WEIR_NEVER);
        check(number == i, "a message is wrong");
    }
    value = per(begun, post->n);
}

/* One way, as fast as the channel takes them. */
static void mpsc_pour(void *arg)
{
    struct post *post = arg;

    for (uint64_t i = 0; i < post->n; i++)
        weir_mpsc_send(post->home, &i, WEIR_NEVER);
}

static void mpsc_drain(struct post *post)
{
    weir_time begun = 0;

    for (uint64_t i = 0; i < post->n; i++) {
        uint64_t number = UINT64_MAX;

        weir_mpsc_recv(post->home, &number, WEIR_NEVER);
        check(number == i, "a message is wrong");
        if (i == 0)
            begun = clock_now();
    }
    value = per(begun, post->n - 1);
}

/* The other side of a channel: a fiber that owns what it receives from, on its shard. */
struct side {
    struct post *post;
    void (*fn)(void *arg);
    struct weir_oneshot *begun, *over;
};

static void side_main(void *arg)
{
    struct side *side = arg;
    struct weir_mpsc *out;

    check(weir_mpsc_new(&out, sizeof(uint64_t), BATCH) == 0, "no channel could be made");
    side->post->out = out;
    weir_oneshot_send(side->begun, 0);
    side->fn(side->post);
    weir_mpsc_free(out);
    weir_oneshot_send(side->over, 0);
}

static void sides(void (*there)(void *arg), void (*here)(struct post *post), uint64_t n)
{
    struct weir_oneshot begun, over;
    struct post post = { .n = n };
    struct side side = { &post, there, &begun, &over };
    int64_t got;

    check(weir_mpsc_new(&post.home, sizeof(uint64_t), BATCH) == 0, "no channel could be made");
    weir_oneshot_init(&begun);
    weir_oneshot_init(&over);
    check(weir_spawn_on(weir_shard_count() - 1, side_main, &side, WEIR_NEVER) == 0, "no fiber");
    weir_oneshot_recv(&begun, &got, WEIR_NEVER);
    here(&post);
    weir_mpsc_drop(post.out); /* ends those that receive from it */
    weir_oneshot_recv(&over, &got, WEIR_NEVER);
    weir_mpsc_drop(post.home);
    weir_mpsc_free(post.home);
}

static void oneshot_row(void *arg)
{
    (void)arg;
    sides(oneshot_echo, oneshot_ask, weir_shard_count() > 1 ? 20000 : 100000);
}

static void mpsc_row(void *arg)
{
    (void)arg;
    sides(mpsc_echo, mpsc_ask, weir_shard_count() > 1 ? 20000 : 100000);
}

static void mpsc_flow_row(void *arg)
{
    (void)arg;
    sides(mpsc_pour, mpsc_drain, 500000);
}

/* --- mutex --- */

static void mutex_alone(void *arg)
{
    weir_time begun = clock_now();
    struct weir_mutex mutex;
    volatile uint64_t count = 0;

    (void)arg;
    weir_mutex_init(&mutex);
    for (int i = 0; i < MILLION; i++) {
        weir_mutex_lock(&mutex, WEIR_NEVER);
        count = count + 1;
        weir_mutex_unlock(&mutex);
    }
    value = per(begun, MILLION);
}

struct contended {
    struct weir_mutex mutex;
    uint64_t count, n;
};

static void mutex_holder(void *arg)
{
    struct contended *c = arg;

    for (uint64_t i = 0; i < c->n; i++) {
        weir_mutex_lock(&c->mutex, WEIR_NEVER);
        c->count++;
        weir_yield();
        weir_mutex_unlock(&c->mutex);
    }
}

static void mutex_contended(void *arg)
{
    struct contended c = { .n = 1000 };
    struct weir_scope scope;
    weir_time begun;

    (void)arg;
    weir_mutex_init(&c.mutex);
    weir_scope_init(&scope);
    spawn_batch(&scope, mutex_holder, &c);
    begun = clock_now();
    weir_scope_join(&scope, WEIR_NEVER);
    value = per(begun, c.n * BATCH);
    check(c.count == c.n * BATCH, "the mutex let two in");
}

/* --- timers --- */

/* A million, an hour or two ahead, armed and then cancelled; their memory is counted in. */
static void timers(void *arg)
{
    weir_time begun = clock_now();
    struct weir_timer *timer = malloc(MILLION * sizeof *timer);
    uint64_t seed = 1;

    (void)arg;
    check(timer != NULL, "no memory for a million timers");
    for (int i = 0; i < MILLION; i++) {
        seed = seed * 6364136223846793005 + 1442695040888963407; /* Knuth's MMIX */
        weir_timer_start(&timer[i],
                         weir_after(WEIR_SEC(3600) + (weir_time)((seed >> 20) % WEIR_SEC(3600))));
    }
    for (int i = 0; i < MILLION; i++)
        weir_future_cancel(&timer[i].future);
    free(timer);
    value = per(begun, MILLION);
}

static void sleeper(void *arg)
{
    weir_sleep_until(*(weir_time *)arg);
}

/* Fibers whose sleeps are due at one moment: microseconds from then until all have run. */
static void sleeps_due(void *arg)
{
    weir_time when = clock_now() + WEIR_MS(200);
    struct weir_scope scope;

    (void)arg;
    weir_scope_init(&scope);
    for (int i = 0; i < SLEEPERS; i++)
        check(weir_spawn(&scope, sleeper, &when) == 0, "no fiber could be spawned");
    weir_scope_join(&scope, WEIR_NEVER);
    value = (double)(clock_now() - when) / 1e3;
}

static int time_compare(const void *a, const void *b)
{
    weir_time x = *(const weir_time *)a, y = *(const weir_time *)b;

    return (x > y) - (x < y);
}

/* Ticks of 1 ms: how late one in a hundred is, in microseconds. */
static void interval_late(void *arg)
{
    static weir_time late[TICKS];
    weir_time next = clock_now();

    (void)arg;
    for (int i = 0; i < TICKS; i++) {
        next += WEIR_MS(1);
        weir_sleep_until(next);
        late[i] = clock_now() - next;
        check(late[i] >= 0, "a timer fired early");
    }
    qsort(late, TICKS, sizeof late[0], time_compare);
    value = (double)late[TICKS * 99 / 100] / 1e3;
}

/* --- memory --- */

static double resident(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    long pages = 0;

    check(file && fscanf(file, "%*d %ld", &pages) == 1, "/proc/self/statm cannot be read");
    fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static void parks(void *arg)
{
    weir_sem_wait(arg, 1, WEIR_NEVER);
}

/* Bytes of each of so many fibers that wait. */
static void parked(void *arg)
{
    struct weir_scope scope;
    struct weir_sem sem;
    double before;

    (void)arg;
    weir_sem_init(&sem, 0);
    weir_scope_init(&scope);
    before = resident();
    for (int i = 0; i < PARKED; i++)
        check(weir_spawn(&scope, parks, &sem) == 0, "no fiber could be spawned");
    weir_yield();
    value = (resident() - before) / PARKED;
    weir_sem_post(&sem, PARKED);
    weir_scope_join(&scope, WEIR_NEVER);
}

/* Bytes of each of so many that wait by callback: what weir's own servers do between requests. */
static void parked_callback(void *arg)
{
    double before = resident();
    struct weir_oneshot *waits = malloc(PARKED * sizeof *waits);

    (void)arg;
    check(waits != NULL, "no memory");
    for (int i = 0; i < PARKED; i++) {
        weir_oneshot_init(&waits[i]);
        weir_oneshot_start(&waits[i]);
    }
    value = (resident() - before) / PARKED;
    for (int i = 0; i < PARKED; i++)
        weir_oneshot_send(&waits[i], 0);
    free(waits);
}

/* --- the runtime itself --- */

static int64_t same(void *arg)
{
    return *(int *)arg;
}

static struct weir_runtime *runtime_new(void)
{
    struct weir_runtime *runtime;
    struct weir_config config;

    weir_config_init(&config);
    config.flavour = WEIR_CURRENT_THREAD;
    config.quiet = true;
    check(weir_runtime_new(&runtime, &config) == 0, "no runtime could be made");
    return runtime;
}

/* New, block_on, free: microseconds. */
static void start(void)
{
    enum { N = 200 };
    weir_time begun = clock_now();

    for (int i = 0; i < N; i++) {
        struct weir_runtime *runtime = runtime_new();
        int64_t got = -1;

        weir_block_on(runtime, same, &i, &got);
        check(got == i, "block_on's result is wrong");
        weir_runtime_free(runtime);
    }
    value = per(begun, N) / 1e3;
}

static void block_on(void)
{
    enum { N = 100000 };
    struct weir_runtime *runtime = runtime_new();
    weir_time begun = clock_now();

    for (int i = 0; i < N; i++) {
        int64_t got = -1;

        weir_block_on(runtime, same, &i, &got);
        check(got == i, "block_on's result is wrong");
    }
    value = per(begun, N);
    weir_runtime_free(runtime);
}

/* --- the rows --- */

static const struct row {
    const char *name;
    void (*outside)(void);     /* on the plain thread, or */
    void (*inside)(void *arg); /* in the main fiber of shard 0 of `shards` */
    unsigned shards;
} rows[] = {
    { "spawn-join", NULL, spawn_join, 1 },
    { "spawn-join-64", NULL, spawn_join_64, 1 },
    { "yield", NULL, yield_64, 1 },
    { "await-ready", NULL, await_ready, 1 },
    { "oneshot-one", NULL, oneshot_row, 1 },
    { "oneshot-two", NULL, oneshot_row, 2 },
    { "mpsc-one", NULL, mpsc_row, 1 },
    { "mpsc-two", NULL, mpsc_row, 2 },
    { "mpsc-flow-one", NULL, mpsc_flow_row, 1 },
    { "mpsc-flow-two", NULL, mpsc_flow_row, 2 },
    { "mutex", NULL, mutex_alone, 1 },
    { "mutex-contended", NULL, mutex_contended, 1 },
    { "timers", NULL, timers, 1 },
    { "sleeps-due", NULL, sleeps_due, 1 },
    { "interval-late", NULL, interval_late, 1 },
    { "start", start, NULL, 0 },
    { "block-on", block_on, NULL, 0 },
    { "parked", NULL, parked, 1 },
    { "parked-callback", NULL, parked_callback, 1 },
};
enum { ROWS = sizeof rows / sizeof rows[0] };

static void shard_main(void *arg)
{
    const struct row *row = arg;

    if (weir_shard_id() == 0)
        row->inside(NULL);
}

static void row_run(const struct row *row)
{
    struct row copy = *row;
    struct weir_config config;

    if (row->outside) {
        row->outside();
    } else {
        weir_config_init(&config);
        config.shards = row->shards;
        config.quiet = true;
        check(weir_run(&config, shard_main, &copy) == 0, "the shards could not be started");
    }
    printf("%s %.3f\n", row->name, value);
}

static const struct row *row_find(const char *name)
{
    for (size_t i = 0; i < ROWS; i++)
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    fprintf(stderr, "bench_rows: no row is called %s\n", name);
    exit(2);
}

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 1 && i < ROWS; i++)
        printf("%s\n", rows[i].name);
    for (int i = 1; i < argc; i++)
        row_run(row_find(argv[i]));
    return 0;
}
