/* list.h - circular doubly linked list of embedded links; the head is a link too.
 *
 * A link that is in no list points to itself after weir_list_init or weir_list_del, so deleting
 * twice is harmless and weir_list_empty(&node->link) answers "is it queued?". */
#ifndef WEIR_CORE_LIST_H
#define WEIR_CORE_LIST_H

#include "core/base.h"

static inline void weir_list_init(struct weir_link *head)
{
    head->next = head->prev = head;
}

static inline bool weir_list_empty(const struct weir_link *head)
{
    return head->next == head;
}

/* Adds behind the last. */
static inline void weir_list_push(struct weir_link *head, struct weir_link *link)
{
    link->next = head;
    link->prev = head->prev;
    head->prev->next = link;
    head->prev = link;
}

/* Adds before the first. */
static inline void weir_list_push_front(struct weir_link *head, struct weir_link *link)
{
    weir_list_push(head->next, link);
}

static inline void weir_list_del(struct weir_link *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    weir_list_init(link);
}

/* Takes the first out; NULL when there is none. */
static inline struct weir_link *weir_list_pop(struct weir_link *head)
{
    struct weir_link *first = head->next;

    if (first == head)
        return NULL;
    weir_list_del(first);
    return first;
}

/* Moves everything from `from` to the end of `to`. */
static inline void weir_list_move_all(struct weir_link *to, struct weir_link *from)
{
    if (weir_list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    weir_list_init(from);
}

#endif
