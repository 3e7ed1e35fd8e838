/* mail.c - a stack that many push to and one takes whole.
 *
 * Nobody pops a single element, so the next pointer of the top cannot go stale (ABA), and turning
 * the chain over gives the order of sending.
 *
 * Waking: the sender pushes, fences, and looks at `asleep`; the sleeper sets it, fences, and looks
 * for mail (shard.c, shard_may_sleep).  One of them sees the other. */
#include "sched/mail.h"
#include "sched/call.h"

void weir_mail_send(struct weir_shard *shard, struct weir_mail *mail)
{
    struct weir_mail *top = atomic_load_explicit(&shard->mail, memory_order_relaxed);

    /* Release: pairs with the acquire in weir_mail_deliver; what the mail is about is written. */
    do
        mail->next = top;
    while (!atomic_compare_exchange_weak_explicit(&shard->mail, &top, mail, memory_order_release,
                                                  memory_order_relaxed));
    weir_fence(); /* pairs with the one in shard.c, shard_may_sleep */
    if (atomic_load_explicit(&shard->asleep, memory_order_relaxed))
        shard->all->wake(shard);
}

bool weir_mail_deliver(struct weir_shard *shard)
{
    struct weir_mail *mail, *next, *first = NULL;

    if (weir_likely(!weir_mail_pending(shard)))
        return false;
    mail = atomic_exchange_explicit(&shard->mail, NULL, memory_order_acquire);
    for (; mail; mail = next) {
        next = mail->next;
        mail->next = first;
        first = mail;
    }
    for (mail = first; mail; mail = next) {
        next = mail->next;
        mail->deliver(shard, mail);
    }
    return true;
}
