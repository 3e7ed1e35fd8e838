/* block_on.c - from outside of a runtime into it: run this in a fiber there, and wait for it.
 *
 * What is asked for becomes a fiber of the root scope of its shard.  A thread that is no shard's
 * sends it there by mail and sleeps until that has ended; the one that runs the shard itself turns
 * its loop. */
#include <errno.h>
#include <pthread.h>
#include "sched/fiber.h"
#include "sched/mail.h"
#include "sched/runtime.h"

/* Lives in the frame of the thread that waits. */
struct errand {
    struct weir_mail mail;
    int64_t (*fn)(void *arg);
    void *arg;
    int64_t result;
    int error;  /* it could not be begun */
    bool local; /* the waiting thread turns the loop: nobody needs to be woken */
    bool over;
    pthread_mutex_t mutex; /* of `over` */
    pthread_cond_t cond;
};

static void errand_over(struct errand *errand)
{
    if (errand->local) {
        errand->over = true;
        return;
    }
    pthread_mutex_lock(&errand->mutex);
    errand->over = true;
    pthread_cond_signal(&errand->cond);
    pthread_mutex_unlock(&errand->mutex);
}

static void errand_main(void *arg)
{
    struct errand *errand = arg;

    errand->result = errand->fn(errand->arg);
    errand_over(errand);
}

static void errand_begin(struct weir_shard *shard, struct weir_mail *mail)
{
    struct errand *errand = weir_container_of(mail, struct errand, mail);
    int error = weir_fiber_spawn(shard, &shard->root, errand_main, errand, "block_on",
                                 "weir_block_on", NULL);

    if (error == 0)
        return;
    errand->error = error == -ECANCELED ? -ESHUTDOWN : error;
    errand_over(errand);
}

/* The caller runs the shard. */
static void errand_run_here(struct weir_shard *shard, struct errand *errand)
{
    errand->local = true;
    weir_shard_current = shard;
    errand_begin(shard, &errand->mail);
    weir_shard_current = NULL;
    while (!errand->over)
        weir_shard_turn(shard);
}

static void errand_wait(struct weir_shard *shard, struct errand *errand)
{
    pthread_mutex_init(&errand->mutex, NULL);
    pthread_cond_init(&errand->cond, NULL);
    weir_mail_send(shard, &errand->mail);
    pthread_mutex_lock(&errand->mutex);
    while (!errand->over)
        pthread_cond_wait(&errand->cond, &errand->mutex);
    pthread_mutex_unlock(&errand->mutex);
    pthread_cond_destroy(&errand->cond);
    pthread_mutex_destroy(&errand->mutex);
}

static int errand_result(const struct errand *errand, int64_t *result)
{
    if (errand->error == 0 && result)
        *result = errand->result;
    return errand->error;
}

static void outside_only(const char *call)
{
    if (weir_shard_current)
        weir_panic("%s: this thread runs a shard, which everything on it would wait for; await "
                   "here, call another shard with weir_call, or hand what blocks to weir_blocking",
                   call);
}

int weir_block_on(struct weir_runtime *runtime, int64_t (*fn)(void *arg), void *arg,
                  int64_t *result)
{
    struct errand errand = { .mail = { .deliver = errand_begin }, .fn = fn, .arg = arg };

    outside_only("weir_block_on");
    if (runtime->config.flavour != WEIR_CURRENT_THREAD)
        errand_wait(runtime->shards.shard[0], &errand);
    else if (pthread_equal(runtime->owner, pthread_self()))
        errand_run_here(runtime->shards.shard[0], &errand);
    else
        weir_panic("weir_block_on: a current-thread runtime is run by the thread that made it, and "
                   "this is another; use weir_submit here");
    return errand_result(&errand, result);
}

int weir_submit(struct weir_runtime *runtime, unsigned to, int64_t (*fn)(void *arg), void *arg,
                int64_t *result)
{
    struct errand errand = { .mail = { .deliver = errand_begin }, .fn = fn, .arg = arg };

    outside_only("weir_submit");
    if (to >= runtime->shards.count)
        return -EINVAL;
    if (runtime->config.flavour == WEIR_CURRENT_THREAD &&
        pthread_equal(runtime->owner, pthread_self()))
        return weir_block_on(runtime, fn, arg, result);
    errand_wait(runtime->shards.shard[to], &errand);
    return errand_result(&errand, result);
}

void weir_runtime_stop(struct weir_runtime *runtime)
{
    weir_shards_stop(&runtime->shards, WEIR_STOPPING);
}

void weir_runtime_free(struct weir_runtime *runtime)
{
    if (!runtime)
        return;
    outside_only("weir_runtime_free");
    if (runtime->config.flavour == WEIR_CURRENT_THREAD &&
        !pthread_equal(runtime->owner, pthread_self()))
        weir_panic("weir_runtime_free: a current-thread runtime is freed by the thread that made "
                   "it, and this is another");
    weir_shards_stop(&runtime->shards, WEIR_CUTTING);
    weir_runtime_let_go(runtime);
    weir_runtime_end(runtime);
}

struct weir_runtime *weir_runtime_here(void)
{
    return weir_shard_here("weir_runtime_here")->all->runtime;
}
