/* l2fwd.c - the floor for packets per second over a PMD, and a generator of packets to go with it.
 *
 * As a forwarder it takes bursts of one port's one queue, swaps the MAC addresses and sends them
 * back: what is left of a server when there is no stack.  EAL is started as weir's own device
 * starts it (dpdk_eal.c), so both get the same from the same arguments.
 *
 * As a generator (--generate) it needs no DPDK: ICMP echo requests out of a packet socket on the
 * other end of the wire, as many as go.  A stack answers each with a packet of the same length, so
 * that what comes back compares with what the forwarder sends back. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <rte_cycles.h>
#include <rte_ether.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "net/dev/dpdk.h"

enum {
    L2FWD_BURST = WEIR_DEV_BURST,
    L2FWD_MBUFS = 16384 - 1,
    L2FWD_CACHE = 256,
    L2FWD_POLLS = 1024, /* between two looks at the clock */
    L2FWD_FRAME = 98,   /* a request as ping sends it: 56 bytes of data */
};

struct l2fwd_count {
    uint64_t rx, tx, dropped;
};

struct l2fwd_options {
    const char *dev;
    const char *iface, *to_mac, *from_ip, *to_ip;
    long seconds; /* 0: until a signal */
    long rate;    /* packets per second at most; 0: no limit */
};

static volatile sig_atomic_t stopped;

static void l2fwd_stop(int number)
{
    (void)number;
    stopped = 1;
}

static int64_t l2fwd_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* --- forwarding --- */

static int port_fails(const char *what, int error)
{
    fprintf(stderr, "l2fwd: the port %s: %s\n", what, rte_strerror(-error));
    return error < 0 ? error : -EIO;
}

static int port_set_queues(uint16_t port, struct rte_mempool *pool)
{
    uint16_t rx_desc = DPDK_RX_DESC, tx_desc = DPDK_TX_DESC;
    unsigned socket = (unsigned)rte_eth_dev_socket_id(port);
    int error = rte_eth_dev_adjust_nb_rx_tx_desc(port, &rx_desc, &tx_desc);

    if (error)
        return port_fails("has no descriptors", error);
    error = rte_eth_rx_queue_setup(port, 0, rx_desc, socket, NULL, pool);
    if (error)
        return port_fails("has no receive queue", error);
    error = rte_eth_tx_queue_setup(port, 0, tx_desc, socket, NULL);
    return error ? port_fails("has no transmit queue", error) : 0;
}

/* The first port that EAL has found. */
static int port_start(uint16_t *port)
{
    struct rte_eth_conf conf = { 0 };
    struct rte_mempool *pool;
    int error;

    *port = dpdk_port_from(0);
    if (*port >= RTE_MAX_ETHPORTS)
        return fprintf(stderr, "l2fwd: no port: name a device, --vdev=net_null0\n"), -ENODEV;
    pool = rte_pktmbuf_pool_create("l2fwd", L2FWD_MBUFS, L2FWD_CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
                                   rte_eth_dev_socket_id(*port));
    if (!pool)
        return fprintf(stderr, "l2fwd: no memory for packets: give EAL more, -m 256\n"), -ENOMEM;
    error = rte_eth_dev_configure(*port, 1, 1, &conf);
    if (error)
        return port_fails("cannot be configured", error);
    if ((error = port_set_queues(*port, pool)) != 0)
        return error;
    error = rte_eth_dev_start(*port);
    return error ? port_fails("cannot be started", error) : 0;
}

static void frame_swap_macs(struct rte_mbuf *mbuf)
{
    struct rte_ether_hdr *ether = rte_pktmbuf_mtod(mbuf, struct rte_ether_hdr *);
    struct rte_ether_addr to = ether->dst_addr;

    ether->dst_addr = ether->src_addr;
    ether->src_addr = to;
}

/* One burst there and back; what the port does not take is dropped, as an l2 forwarder does. */
static void forward(uint16_t port, struct l2fwd_count *count)
{
    struct rte_mbuf *mbufs[L2FWD_BURST];
    uint16_t got = rte_eth_rx_burst(port, 0, mbufs, L2FWD_BURST), sent;

    if (got == 0)
        return;
    for (unsigned i = 0; i < got; i++)
        frame_swap_macs(mbufs[i]);
    sent = rte_eth_tx_burst(port, 0, mbufs, got);
    if (sent < got)
        rte_pktmbuf_free_bulk(mbufs + sent, (unsigned)(got - sent));
    count->rx += got;
    count->tx += sent;
    count->dropped += (uint64_t)(got - sent);
}

static void tell(const struct l2fwd_count *count, const struct l2fwd_count *before, int64_t ns)
{
    double s = (double)ns / 1e9;

    printf("rx %.0f tx %.0f dropped %.0f pps\n", (double)(count->rx - before->rx) / s,
           (double)(count->tx - before->tx) / s, (double)(count->dropped - before->dropped) / s);
    fflush(stdout);
}

static void forward_until(uint16_t port, int64_t end_ns)
{
    struct l2fwd_count count = { 0 }, before = { 0 };
    int64_t last = l2fwd_now_ns(), now = last;

    while (!stopped && now < end_ns) {
        for (unsigned i = 0; i < L2FWD_POLLS; i++)
            forward(port, &count);
        now = l2fwd_now_ns();
        if (now - last < 1000000000)
            continue;
        tell(&count, &before, now - last);
        before = count;
        last = now;
    }
    printf("all rx %" PRIu64 " tx %" PRIu64 " dropped %" PRIu64 "\n", count.rx, count.tx,
           count.dropped);
}

static int64_t end_of(const struct l2fwd_options *options)
{
    return options->seconds ? l2fwd_now_ns() + options->seconds * INT64_C(1000000000) : INT64_MAX;
}

static int run_forwarder(const struct l2fwd_options *options)
{
    const char *args = options->dev;
    struct dpdk_capture capture;
    char why[512];
    uint16_t port;
    int error;

    if (strncmp(args, "dpdk:", 5) == 0)
        args += 5;
    error = weir_dpdk_eal(args, why, sizeof why);
    if (error)
        return fprintf(stderr, "l2fwd: %s\n", why), 2;
    weir_dpdk_capture_begin(&capture); /* drivers talk while they start */
    error = port_start(&port);
    weir_dpdk_capture_end(&capture);
    if (error) {
        weir_dpdk_blame(&capture, why, sizeof why);
        return fprintf(stderr, "l2fwd: no device: %s\n", why), 2;
    }
    printf("forwarding; Ctrl-C stops\n");
    fflush(stdout);
    forward_until(port, end_of(options));
    return 0; /* EAL closes the port at exit */
}

/* --- generating --- */

static uint16_t checksum(const void *data, size_t len)
{
    const uint8_t *at = data;
    uint32_t sum = 0;

    for (size_t i = 0; i + 1 < len; i += 2)
        sum += (uint32_t)at[i] << 8 | at[i + 1];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons((uint16_t)~sum);
}

static int iface_mac(const char *iface, uint8_t mac[ETH_ALEN])
{
    struct ifreq ask = { 0 };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), got;

    if (fd < 0)
        return -errno;
    snprintf(ask.ifr_name, sizeof ask.ifr_name, "%s", iface);
    got = ioctl(fd, SIOCGIFHWADDR, &ask) < 0 ? -errno : 0;
    memcpy(mac, ask.ifr_hwaddr.sa_data, ETH_ALEN);
    close(fd);
    return got;
}

/* An echo request (RFC 792).  The lengths are even, so the sums need no padding. */
static int request_build(uint8_t frame[L2FWD_FRAME], const struct l2fwd_options *options)
{
    struct ether_header ether = { .ether_type = htons(ETHERTYPE_IP) };
    struct iphdr ip = { .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_ICMP };
    struct icmphdr icmp = { .type = ICMP_ECHO };
    int error = iface_mac(options->iface, ether.ether_shost);

    if (error)
        return error;
    if (!ether_aton_r(options->to_mac, (struct ether_addr *)ether.ether_dhost) ||
        inet_pton(AF_INET, options->from_ip, &ip.saddr) != 1 ||
        inet_pton(AF_INET, options->to_ip, &ip.daddr) != 1)
        return -EINVAL;
    ip.tot_len = htons(L2FWD_FRAME - sizeof ether);
    ip.check = checksum(&ip, sizeof ip);
    icmp.checksum = checksum(&icmp, sizeof icmp); /* all data are 0 */
    memset(frame, 0, L2FWD_FRAME);
    memcpy(frame, &ether, sizeof ether);
    memcpy(frame + sizeof ether, &ip, sizeof ip);
    memcpy(frame + sizeof ether + sizeof ip, &icmp, sizeof icmp);
    return 0;
}

/* A socket that hands frames to the driver of the interface, past its queueing discipline. */
static int packet_socket(const char *iface)
{
    struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(iface) };
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), one = 1;

    if (fd < 0)
        return -errno;
    if (to.sll_ifindex == 0 || bind(fd, (struct sockaddr *)&to, sizeof to) < 0) {
        int error = to.sll_ifindex == 0 ? -ENODEV : -errno;

        close(fd);
        return error;
    }
    setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one);
    return fd;
}

/* How many of a burst are due: all, or as the rate allows. */
static unsigned generate_due(const struct l2fwd_options *options, int64_t start, uint64_t sent)
{
    uint64_t due;

    if (options->rate == 0)
        return L2FWD_BURST;
    due = (uint64_t)((double)(l2fwd_now_ns() - start) * (double)options->rate / 1e9);
    return due > sent ? (unsigned)RTE_MIN(due - sent, (uint64_t)L2FWD_BURST) : 0;
}

static int run_generator(const struct l2fwd_options *options)
{
    uint8_t frame[L2FWD_FRAME];
    struct iovec part = { frame, sizeof frame };
    struct mmsghdr burst[L2FWD_BURST];
    int64_t start = l2fwd_now_ns(), end = end_of(options);
    uint64_t sent = 0, refused = 0;
    int error = request_build(frame, options), fd = error ? error : packet_socket(options->iface);

    if (fd < 0)
        return fprintf(stderr, "l2fwd: --generate %s: %s\n", options->iface, strerror(-fd)), 2;
    for (unsigned i = 0; i < L2FWD_BURST; i++)
        burst[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &part, .msg_iovlen = 1 } };
    while (!stopped && l2fwd_now_ns() < end) {
        unsigned due = generate_due(options, start, sent);
        int n = due ? sendmmsg(fd, burst, due, 0) : 0;

        sent += n > 0 ? (uint64_t)n : 0;
        refused += n < 0; /* the other end is full: the next one may find room */
    }
    close(fd);
    printf("sent %" PRIu64 " refused %" PRIu64 " in %.3f s\n", sent, refused,
           (double)(l2fwd_now_ns() - start) / 1e9);
    return 0;
}

/* --- options --- */

static int usage(FILE *to, int status)
{
    fprintf(
        to,
        "usage: l2fwd [--seconds S] --dev \"dpdk:EAL ARGS\"\n"
        "       l2fwd [--seconds S] [--rate PPS] --generate IFACE TO_MAC FROM_IP TO_IP\n"
        "\n"
        "  --dev       send back what arrives on the port, with the MAC addresses swapped, and\n"
        "              print rates each second\n"
        "  --generate  send ICMP echo requests out of an interface of the kernel\n"
        "  --rate      at most so many a second (default: as many as go)\n"
        "  --seconds   stop after so many (default: at SIGINT or SIGTERM)\n");
    return status;
}

static bool option_number(const char *text, long *number)
{
    char *end;

    errno = 0;
    *number = text ? strtol(text, &end, 10) : 0;
    return text && !errno && end != text && !*end && *number > 0 && *number <= 1000000000;
}

/* 0, or -EINVAL. */
static int options_parse(struct l2fwd_options *options, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--dev") == 0 && i + 1 < argc) {
            options->dev = argv[++i];
        } else if (strcmp(argv[i], "--generate") == 0 && i + 4 < argc) {
            options->iface = argv[++i];
            options->to_mac = argv[++i];
            options->from_ip = argv[++i];
            options->to_ip = argv[++i];
        } else if (strcmp(argv[i], "--seconds") == 0) {
            if (!option_number(argv[++i], &options->seconds))
                return -EINVAL;
        } else if (strcmp(argv[i], "--rate") == 0) {
            if (!option_number(argv[++i], &options->rate))
                return -EINVAL;
        } else {
            return -EINVAL;
        }
    }
    return !options->dev == !options->iface ? -EINVAL : 0; /* one of them */
}

int main(int argc, char **argv)
{
    struct sigaction stop = { .sa_handler = l2fwd_stop };
    struct l2fwd_options options = { 0 };

    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return usage(stdout, 0);
    if (options_parse(&options, argc, argv) < 0)
        return usage(stderr, 2);
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    return options.dev ? run_forwarder(&options) : run_generator(&options);
}
