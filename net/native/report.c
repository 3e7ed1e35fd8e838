/* report.c - what a stack has counted, into the log: for whoever asks by SIGUSR1.
 *
 * Counters that are still 0 are left out, for there are many and most are of trouble. */
#include <stddef.h>
#include <stdio.h>
#include "net/native/glue.h"

enum { REPORT_WIDTH = 100 };

#define COUNTER(field) .name = #field, .offset = offsetof(struct weir_native_stats, field)

static const struct report_counter {
    const char *name;
    size_t offset;
} report_counters[] = {
    { COUNTER(eth_bad) },
    { COUNTER(arp_bad) },
    { COUNTER(ip_bad) },
    { COUNTER(ip_not_ours) },
    { COUNTER(ip_no_route) },
    { COUNTER(icmp_bad) },
    { COUNTER(udp_bad) },
    { COUNTER(udp_no_port) },
    { COUNTER(frags_in) },
    { COUNTER(frags_joined) },
    { COUNTER(frags_dropped) },
    { COUNTER(neigh_dropped) },
    { COUNTER(forwarded) },
    { COUNTER(forward_dropped) },
    { COUNTER(partial_csum) },
    { COUNTER(tcp_bad) },
    { COUNTER(tcp_in) },
    { COUNTER(tcp_out) },
    { COUNTER(tcp_retransmits) },
    { COUNTER(tcp_timeouts) },
    { COUNTER(tcp_rst_in) },
    { COUNTER(tcp_rst_out) },
    { COUNTER(tcp_challenge_acks) },
    { COUNTER(tcp_challenge_limited) },
    { COUNTER(tcp_paws) },
    { COUNTER(tcp_ooo) },
    { COUNTER(tcp_ooo_dropped) },
    { COUNTER(tcp_dup_acks) },
    { COUNTER(tcp_fast_recoveries) },
    { COUNTER(tcp_tlp) },
    { COUNTER(tcp_spurious) },
    { COUNTER(tcp_cookies_sent) },
    { COUNTER(tcp_cookies_good) },
    { COUNTER(tcp_cookies_bad) },
    { COUNTER(tcp_syn_dropped) },
    { COUNTER(tcp_accept_overflow) },
    { COUNTER(tcp_passive) },
    { COUNTER(tcp_active) },
    { COUNTER(tcp_no_memory) },
    { COUNTER(tcp_keepalives) },
    { COUNTER(tcp_persists) },
    { COUNTER(tcp_time_wait_reused) },
};

_Static_assert(WEIR_COUNT(report_counters) * sizeof(uint64_t) == sizeof(struct weir_native_stats),
               "every counter is reported");

static void report_device(const struct weir_dev_queue *queue)
{
    const struct weir_dev_stats *stats = &queue->stats;

    weir_log("  %s, queue %u: %llu packets in (%llu dropped), %llu out (%llu dropped)",
             queue->dev->name, queue->index, (unsigned long long)stats->rx_packets,
             (unsigned long long)stats->rx_dropped, (unsigned long long)stats->tx_packets,
             (unsigned long long)stats->tx_dropped);
}

void weir_native_report(const struct weir_native *native)
{
    const uint8_t *stats = (const uint8_t *)&native->stats;
    char line[REPORT_WIDTH + 64] = "";
    size_t len = 0;

    for (unsigned i = 0; i < native->ifaces; i++)
        report_device(native->iface[i].queue);
    for (size_t i = 0; i < WEIR_COUNT(report_counters); i++) {
        const uint64_t *count = (const void *)(stats + report_counters[i].offset);

        if (*count == 0)
            continue;
        len += (size_t)snprintf(line + len, sizeof line - len, " %s %llu", report_counters[i].name,
                                (unsigned long long)*count);
        if (len >= REPORT_WIDTH) {
            weir_log("  counted%s", line);
            len = 0;
        }
    }
    if (len > 0)
        weir_log("  counted%s", line);
}
