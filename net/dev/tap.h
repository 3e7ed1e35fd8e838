/* tap.h - what the parts of the tap device share.
 *
 *     tap.c         packets, queues, opening
 *     tap_spec.c    the text behind "tap:"
 *     tap_kernel.c  the descriptors, and the kernel's side of the wire */
#ifndef WEIR_NET_DEV_TAP_H
#define WEIR_NET_DEV_TAP_H

#include <net/if.h>
#include <netinet/in.h>
#include "net/dev.h"

enum {
    WEIR_TAP_BIG = 128,          /* buffers of 64 KiB, per queue */
    WEIR_TAP_FRAME = 65536 + 64, /* IP's most, and Ethernet with VLAN */
    WEIR_TAP_MTU_MIN = 68,       /* RFC 791 */
    WEIR_TAP_MTU_MAX = 65521,
};

struct weir_tap_queue {
    struct weir_dev_queue base;
    struct weir_pkts *pkts;
    struct weir_pool big_pool; /* of struct weir_pkt, headroom, WEIR_TAP_FRAME */
    struct weir_pkt *small;    /* to be read into next; NULL: none yet */
    struct weir_pkt *big;      /* behind it */
    int fd;                    /* from open to close of the device */
    bool detached, gone, told_down;
};

struct weir_tap_dev {
    struct weir_dev dev;
    char name[IFNAMSIZ];
    unsigned open; /* queues[] with a descriptor */
    struct weir_tap_queue queue[];
};

/* What is behind "tap:". */
struct weir_tap_spec {
    char name[IFNAMSIZ];
    struct in_addr host4;
    struct in6_addr host6;
    uint8_t prefix4, prefix6; /* 0: no such address */
    uint16_t mtu;             /* 0: as it is */
    uint8_t mac[6];
    bool has_mac;
};

/* tap_spec.c: "NAME,host=ADDR/PREFIX,mtu=N,mac=ADDR"; `mtu` is what was asked for elsewhere, or 0.
 * 0; -EINVAL with one line in `why`. */
int weir_tap_read_spec(struct weir_tap_spec *spec, const char *text, uint16_t mtu, char *why,
                       size_t why_size);

/* tap_kernel.c: a descriptor for each queue; tap->name is as the kernel has it then, and tap->open
 * says how many there are.  Then the MAC address of our side, and the kernel's side as `spec` wants
 * it.  0, or a negated errno with one line in `why`. */
int weir_tap_open_fds(struct weir_tap_dev *tap, unsigned queues, char *why, size_t why_size);
void weir_tap_set_mac(struct weir_tap_dev *tap, const struct weir_tap_spec *spec);
int weir_tap_set_up(struct weir_tap_dev *tap, const struct weir_tap_spec *spec, char *why,
                    size_t why_size);

#endif
