/* segment.c - segments of the simulation: bytes, FIN and RST on their way to one end.
 *
 * A segment is due after a random delay, never before its predecessor.  What flies and what has
 * arrived counts in `unread`, the sender's window, until it is received or thrown away; FIN and RST
 * are parts of the end they fly to, so they need no memory. */
#include <stdlib.h>
#include <string.h>
#include "net/sim/net.h"

struct weir_sim_segment *weir_sim_first_of(const struct weir_link *segments)
{
    return weir_list_empty(segments)
               ? NULL
               : weir_container_of(segments->next, struct weir_sim_segment, link);
}

void weir_sim_segment_free(struct weir_sim_end *end, struct weir_sim_segment *segment)
{
    weir_list_del(&segment->link);
    if (segment->kind != WEIR_SIM_DATA)
        return; /* part of the end */
    end->unread -= segment->len;
    free(segment);
}

bool weir_sim_segments_free(struct weir_sim_end *end, struct weir_link *segments)
{
    struct weir_sim_segment *segment;
    bool data = false;

    while ((segment = weir_sim_first_of(segments)) != NULL) {
        data |= segment->kind == WEIR_SIM_DATA;
        weir_sim_segment_free(end, segment);
    }
    return data;
}

/* Sends a segment on its way to `end`. */
static void sim_fly(struct weir_sim_end *end, struct weir_sim_segment *segment)
{
    weir_time due = weir_sim_soon(end->driver->net);

    if (due < end->last_due)
        due = end->last_due;
    end->last_due = segment->due = due;
    weir_list_push(&end->flying, &segment->link);
    if (!weir_sim_event_armed(&end->arrival))
        weir_sim_event_set(end->driver, &end->arrival, weir_sim_first_of(&end->flying)->due);
}

void weir_sim_fly_fin(struct weir_sim_end *end)
{
    if (!end->gone)
        sim_fly(end, &end->fin);
}

void weir_sim_fly_rst(struct weir_sim_end *end)
{
    if (end->gone || end->state == WEIR_SIM_UNBORN || !weir_list_empty(&end->rst.link))
        return;
    weir_sim_segments_free(end, &end->flying);
    sim_fly(end, &end->rst);
}

size_t weir_sim_fly_data(struct weir_sim_end *end, const void *data, size_t len)
{
    struct weir_sim_segment *segment;

    if (end->gone) { /* flies into the void: never received, so the window fills up */
        end->unread += len;
        weir_sim_fly_rst(weir_sim_peer(end));
        return len;
    }
    segment = malloc(sizeof *segment + len);
    if (segment == NULL)
        return 0;
    *segment = (struct weir_sim_segment){ .kind = WEIR_SIM_DATA, .len = len };
    segment->data = (uint8_t *)(segment + 1);
    memcpy(segment->data, data, len);
    end->unread += len;
    sim_fly(end, segment);
    return len;
}
