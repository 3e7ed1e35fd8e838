/* dev_peer.h - talks to the kernel through a device, frame by frame, for the tests of devices.
 *
 * The test stands on 10.7.0.2 and fd07::2, the kernel on 10.7.0.1 and fd07::1.  Frames are built by
 * hand; whoever waits says what for and gets the first frame that is it, the others are let go of.
 */
#ifndef WEIR_TESTS_NET_DEV_PEER_H
#define WEIR_TESTS_NET_DEV_PEER_H

#include "../core/testing.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/icmp6.h>
#include <netinet/if_ether.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include "net/dev.h"

enum { PEER_QUEUES = 4, PEER_PORT = 7007, PEER_WAIT_MS = 10000 };

#define PEER_HOST "10.7.0.1"
#define PEER_SELF "10.7.0.2"
#define PEER_HOST6 "fd07::1"
#define PEER_SELF6 "fd07::2"

/* Behind an Ethernet header, at odd multiples of two. */
typedef struct iphdr peer_iphdr __attribute__((aligned(1)));
typedef struct ip6_hdr peer_ip6_hdr __attribute__((aligned(1)));
typedef struct tcphdr peer_tcphdr __attribute__((aligned(1)));
typedef struct icmphdr peer_icmphdr __attribute__((aligned(1)));

struct peer {
    struct weir_dev *dev;
    struct weir_dev_queue *queue[PEER_QUEUES];
    struct weir_pkts pkts;
    struct weir_shard shard;
    uint8_t host_mac[6];
    unsigned at; /* the queue where the last frame came in */
};

static inline void peer_open(struct peer *p, struct weir_dev *dev, uint32_t pkts)
{
    char why[512] = "";

    memset(p, 0, sizeof *p);
    p->dev = dev;
    weir_pkts_init(&p->pkts, pkts);
    assert_true(dev->queues <= PEER_QUEUES);
    for (unsigned i = 0; i < dev->queues; i++)
        if (dev->ops->queue_open(dev, i, &p->shard, &p->pkts, &p->queue[i], why, sizeof why) < 0)
            fail_msg("queue %u: %s", i, why);
}

static inline void peer_close_queues(struct peer *p)
{
    for (unsigned i = 0; i < p->dev->queues; i++)
        p->dev->ops->queue_close(p->queue[i]);
    weir_pkts_free(&p->pkts);
}

static inline void peer_close(struct peer *p)
{
    peer_close_queues(p);
    weir_dev_close(p->dev);
}

/* The tap of DPDK sends signals. */
static inline int peer_poll(struct pollfd *fd, unsigned count, int ms)
{
    int ready;

    do
        ready = poll(fd, count, ms);
    while (ready < 0 && errno == EINTR);
    return ready;
}

/* --- sending --- */

static inline void peer_send(struct peer *p, unsigned queue, struct weir_pkt *pkt)
{
    p->dev->ops->tx(p->queue[queue], &pkt, 1);
    p->dev->ops->tx_flush(p->queue[queue]);
}

static inline uint32_t peer_sum(const void *data, size_t len, uint32_t sum)
{
    const uint8_t *at = data;

    for (size_t i = 0; i < len; i++)
        sum += i % 2 ? at[i] : (uint32_t)at[i] << 8;
    return sum;
}

/* Network order, not complemented. */
static inline uint16_t peer_fold(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons((uint16_t)sum);
}

static inline struct weir_pkt *peer_frame(struct peer *p, uint16_t type, const uint8_t to[6])
{
    struct weir_pkt *pkt = weir_pkt_get(&p->pkts);
    struct ethhdr *ether;

    assert_non_null(pkt);
    ether = (void *)pkt->buf.data;
    memcpy(ether->h_dest, to, 6);
    memcpy(ether->h_source, p->dev->mac, 6);
    ether->h_proto = htons(type);
    pkt->buf.len = pkt->l3 = sizeof *ether;
    return pkt;
}

static inline void *peer_add(struct weir_pkt *pkt, const void *data, size_t len)
{
    void *at = pkt->buf.data + pkt->buf.len;

    assert_true(pkt->buf.len + len <= WEIR_PKT_ROOM);
    if (data)
        memcpy(at, data, len);
    else
        memset(at, 0, len);
    pkt->buf.len += (uint32_t)len;
    return at;
}

/* An IP header with room for `len` bytes behind it, all pieces together. */
static inline struct weir_pkt *peer_ip(struct peer *p, bool v6, uint8_t protocol, size_t len)
{
    struct weir_pkt *pkt = peer_frame(p, v6 ? ETH_P_IPV6 : ETH_P_IP, p->host_mac);

    if (v6) {
        peer_ip6_hdr *ip6 = peer_add(pkt, NULL, sizeof *ip6);

        pkt->flags |= WEIR_PKT_IP6;
        ip6->ip6_vfc = 0x60;
        ip6->ip6_plen = htons((uint16_t)len);
        ip6->ip6_nxt = protocol;
        ip6->ip6_hlim = 255;
        inet_pton(AF_INET6, PEER_SELF6, &ip6->ip6_src);
        inet_pton(AF_INET6, PEER_HOST6, &ip6->ip6_dst);
    } else {
        peer_iphdr *ip = peer_add(pkt, NULL, sizeof *ip);

        ip->version = 4;
        ip->ihl = 5;
        ip->tot_len = htons((uint16_t)(sizeof *ip + len));
        ip->frag_off = htons(IP_DF);
        ip->ttl = 64;
        ip->protocol = protocol;
        ip->saddr = inet_addr(PEER_SELF);
        ip->daddr = inet_addr(PEER_HOST);
        ip->check = (uint16_t)~peer_fold(peer_sum(ip, sizeof *ip, 0));
    }
    pkt->l4 = (uint16_t)pkt->buf.len;
    return pkt;
}

/* The pseudo-header's sum, of `len` bytes from the transport header on. */
static inline uint32_t peer_pseudo(const struct weir_pkt *pkt, uint8_t protocol, size_t len)
{
    const uint8_t *ip = pkt->buf.data + pkt->l3;
    uint32_t sum = (uint32_t)len + protocol;

    return pkt->flags & WEIR_PKT_IP6 ? peer_sum(ip + 8, 32, sum) : peer_sum(ip + 12, 8, sum);
}

/* Fills in the checksum at `at`: itself, or leaves the rest to the device. */
static inline void peer_checksum(struct weir_pkt *pkt, uint16_t *at, uint8_t protocol, bool device)
{
    size_t len = 0;
    uint32_t sum;

    for (const struct weir_pkt *piece = pkt; piece; piece = piece->frag)
        len += piece->buf.len;
    len -= pkt->l4;
    sum = peer_pseudo(pkt, protocol, len);
    if (device) {
        pkt->flags |= WEIR_PKT_L4_CSUM;
        *at = peer_fold(sum);
        return;
    }
    assert_null(pkt->frag);
    *at = 0;
    *at = (uint16_t)~peer_fold(peer_sum(pkt->buf.data + pkt->l4, len, sum));
}

static inline struct weir_pkt *peer_udp(struct peer *p, bool v6, uint16_t from, const void *data,
                                        size_t len, bool device)
{
    struct weir_pkt *pkt = peer_ip(p, v6, IPPROTO_UDP, sizeof(struct udphdr) + len);
    struct udphdr *udp = peer_add(pkt, NULL, sizeof *udp);

    udp->source = htons(from);
    udp->dest = htons(PEER_PORT);
    udp->len = htons((uint16_t)(sizeof *udp + len));
    peer_add(pkt, data, len);
    peer_checksum(pkt, &udp->check, IPPROTO_UDP, device);
    return pkt;
}

/* --- receiving --- */

typedef bool peer_is_fn(const struct peer *p, const struct weir_pkt *pkt, const void *arg);

static inline int64_t peer_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static inline void peer_rest(const struct peer *p)
{
    struct pollfd fd[PEER_QUEUES];

    for (unsigned i = 0; i < p->dev->queues; i++)
        fd[i] = (struct pollfd){ .fd = p->queue[i]->fd, .events = POLLIN };
    peer_poll(fd, p->dev->queues, p->queue[0]->fd >= 0 ? 50 : 1);
}

/* One frame from any queue, or NULL. */
static inline struct weir_pkt *peer_rx(struct peer *p)
{
    struct weir_pkt *pkt = NULL;

    for (unsigned i = 0; i < p->dev->queues; i++)
        if (p->dev->ops->rx(p->queue[i], &pkt, 1) == 1) {
            assert_int_equal(pkt->buf.refs, 1);
            p->at = i;
            return pkt;
        }
    return NULL;
}

/* The first frame that `is`; NULL after `ms`. */
static inline struct weir_pkt *peer_await_ms(struct peer *p, peer_is_fn *is, const void *arg,
                                             int64_t ms)
{
    int64_t end = peer_ms() + ms;

    do {
        struct weir_pkt *pkt = peer_rx(p);

        if (!pkt) {
            peer_rest(p);
            continue;
        }
        if (is(p, pkt, arg))
            return pkt;
        weir_pkt_free(pkt);
    } while (peer_ms() < end);
    return NULL;
}

static inline struct weir_pkt *peer_await(struct peer *p, peer_is_fn *is, const void *arg)
{
    struct weir_pkt *pkt = peer_await_ms(p, is, arg, PEER_WAIT_MS);

    assert_non_null(pkt);
    return pkt;
}

static inline uint16_t peer_type(const struct weir_pkt *pkt)
{
    return ntohs(((const struct ethhdr *)(const void *)pkt->buf.data)->h_proto);
}

/* Whether it is IPv4 of this protocol to us; where its transport header is. */
static inline const void *peer_ip4_of(const struct weir_pkt *pkt, uint8_t protocol)
{
    const peer_iphdr *ip = (const void *)(pkt->buf.data + sizeof(struct ethhdr));

    if (pkt->buf.len < sizeof(struct ethhdr) + sizeof *ip || peer_type(pkt) != ETH_P_IP ||
        ip->protocol != protocol || ip->daddr != inet_addr(PEER_SELF))
        return NULL;
    return (const uint8_t *)ip + ip->ihl * 4u;
}

static inline bool peer_is_udp(const struct peer *p, const struct weir_pkt *pkt, const void *arg)
{
    const struct udphdr *udp = peer_ip4_of(pkt, IPPROTO_UDP);

    (void)p;
    return udp && (!arg || ntohs(udp->dest) == *(const uint16_t *)arg);
}

/* --- neighbours --- */

static inline void peer_send_arp(struct peer *p, uint16_t op, const uint8_t to[6])
{
    struct weir_pkt *pkt = peer_frame(p, ETH_P_ARP, to);
    struct ether_arp *arp = peer_add(pkt, NULL, sizeof *arp);
    in_addr_t self = inet_addr(PEER_SELF), host = inet_addr(PEER_HOST);

    arp->arp_hrd = htons(ARPHRD_ETHER);
    arp->arp_pro = htons(ETH_P_IP);
    arp->arp_hln = 6;
    arp->arp_pln = 4;
    arp->arp_op = htons(op);
    memcpy(arp->arp_sha, p->dev->mac, 6);
    memcpy(arp->arp_spa, &self, 4);
    memcpy(arp->arp_tpa, &host, 4);
    if (op == ARPOP_REPLY)
        memcpy(arp->arp_tha, to, 6);
    peer_send(p, 0, pkt);
}

static inline bool peer_is_arp_reply(const struct peer *p, const struct weir_pkt *pkt,
                                     const void *arg)
{
    const struct ether_arp *arp = (const void *)(pkt->buf.data + sizeof(struct ethhdr));

    (void)arg;
    return pkt->buf.len >= sizeof(struct ethhdr) + sizeof *arp && peer_type(pkt) == ETH_P_ARP &&
           ntohs(arp->arp_op) == ARPOP_REPLY && memcmp(arp->arp_tha, p->dev->mac, 6) == 0;
}

/* Asks for the kernel's MAC address, by which the kernel learns ours.  Again and again for a while,
 * for an interface that has just come up may not answer yet. */
static inline void peer_meet(struct peer *p)
{
    static const uint8_t all[6] = { 255, 255, 255, 255, 255, 255 };
    struct weir_pkt *pkt = NULL;

    for (int i = 0; !pkt && i < 50; i++) {
        peer_send_arp(p, ARPOP_REQUEST, all);
        pkt = peer_await_ms(p, peer_is_arp_reply, NULL, 200);
    }
    assert_non_null(pkt);
    memcpy(p->host_mac, ((const struct ethhdr *)(const void *)pkt->buf.data)->h_source, 6);
    weir_pkt_free(pkt);
}

static inline bool peer_is_echo_reply(const struct peer *p, const struct weir_pkt *pkt,
                                      const void *arg)
{
    const peer_icmphdr *icmp = peer_ip4_of(pkt, IPPROTO_ICMP);

    (void)p;
    return icmp && icmp->type == ICMP_ECHOREPLY && icmp->un.echo.sequence == *(const uint16_t *)arg;
}

/* Pings the kernel with so many bytes from `queue`. */
static inline void peer_ping(struct peer *p, unsigned queue, uint16_t sequence, size_t len)
{
    struct weir_pkt *pkt = peer_ip(p, false, IPPROTO_ICMP, sizeof(peer_icmphdr) + len);
    peer_icmphdr *icmp = peer_add(pkt, NULL, sizeof *icmp);
    const peer_icmphdr *answer;
    uint8_t *data = peer_add(pkt, NULL, len);

    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)(i * 7 + sequence);
    icmp->type = ICMP_ECHO;
    icmp->un.echo.sequence = sequence;
    icmp->checksum = (uint16_t)~peer_fold(peer_sum(icmp, sizeof *icmp + len, 0));
    peer_send(p, queue, pkt);
    pkt = peer_await(p, peer_is_echo_reply, &sequence);
    answer = peer_ip4_of(pkt, IPPROTO_ICMP);
    assert_true(pkt->buf.len >= pkt->l4 + sizeof *answer + len);
    assert_int_equal(peer_fold(peer_sum(answer, sizeof *answer + len, 0)), 0xffff);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(((const uint8_t *)(answer + 1))[i], (uint8_t)(i * 7 + sequence));
    weir_pkt_free(pkt);
}

/* --- the kernel's side --- */

static inline int peer_socket(bool v6, int type)
{
    struct sockaddr_in6 addr6 = { .sin6_family = AF_INET6, .sin6_port = htons(PEER_PORT) };
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(PEER_PORT) };
    int fd = socket(v6 ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC, 0), on = 1;

    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (v6)
        assert_int_equal(bind(fd, (void *)&addr6, sizeof addr6), 0);
    else
        assert_int_equal(bind(fd, (void *)&addr, sizeof addr), 0);
    return fd;
}

static inline struct sockaddr_in peer_addr(uint16_t port)
{
    return (struct sockaddr_in){ .sin_family = AF_INET,
                                 .sin_port = htons(port),
                                 .sin_addr.s_addr = inet_addr(PEER_SELF) };
}

/* The kernel's socket gets exactly these bytes within the time. */
static inline void peer_expect(int fd, const void *data, size_t len)
{
    struct pollfd ready = { .fd = fd, .events = POLLIN };
    uint8_t got[65536];
    size_t n = 0;

    while (n < len) {
        ssize_t more;

        assert_int_equal(peer_poll(&ready, 1, PEER_WAIT_MS), 1);
        more = recv(fd, got + n, sizeof got - n, 0);
        assert_true(more > 0);
        n += (size_t)more;
    }
    assert_int_equal(n, len);
    assert_memory_equal(got, data, len);
}

/* A datagram with this text from `queue` arrives; sent again as long as it does not, for an address
 * that is new may not be in use at once.  Each call needs another text. */
static inline void peer_udp_arrives(struct peer *p, unsigned queue, bool v6, int fd,
                                    const char *text, bool device)
{
    struct pollfd ready = { .fd = fd, .events = POLLIN };
    char got[256] = "";

    for (int i = 0; i < 50 && strcmp(got, text) != 0; i++) {
        peer_send(p, queue, peer_udp(p, v6, 9, text, strlen(text), device));
        while (peer_poll(&ready, 1, 200) == 1 && strcmp(got, text) != 0) {
            ssize_t n = recv(fd, got, sizeof got - 1, 0);

            if (n < 0)
                fail_msg("recv: %s", strerror(errno));
            got[n] = '\0';
        }
    }
    assert_string_equal(got, text);
}

static inline void peer_fill(uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)(i * 31 + i / 251);
}

/* --- a namespace of our own --- */

static inline void peer_write(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    if (write(fd, text, strlen(text)) < 0)
        errno = 0;
    close(fd);
}

static inline bool peer_unshare_net(void)
{
    char map[64];
    uid_t uid = getuid();

    if (unshare(CLONE_NEWNET) == 0)
        return true;
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
        return false;
    snprintf(map, sizeof map, "0 %u 1", uid);
    peer_write("/proc/self/uid_map", map);
    return true;
}

/* Leaves the machine's network for an empty one, where IPv6 addresses can be used at once; false if
 * that is not permitted. */
static inline bool peer_unshare(void)
{
    if (!peer_unshare_net())
        return false;
    peer_write("/proc/sys/net/ipv6/conf/default/accept_dad", "0");
    peer_write("/proc/sys/net/ipv6/conf/all/accept_dad", "0");
    return true;
}

/* Runs a program of the machine; its exit status. */
static inline int peer_command(const char *command)
{
    int status = system(command);

    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static inline int peer_skip(const char *reason)
{
    printf("1..0 # SKIP %s\n", reason);
    return 77;
}

/* --- a little TCP: enough to get the kernel to send and to take in bulk --- */

struct peer_tcp {
    int fd;            /* the kernel's end */
    uint16_t port;     /* the kernel's */
    uint32_t seq, ack; /* ours, the next byte either way */
};

static inline struct weir_pkt *peer_segment(struct peer *p, const struct peer_tcp *tcp,
                                            uint8_t flags, const void *options, size_t options_len,
                                            size_t payload)
{
    struct weir_pkt *pkt =
        peer_ip(p, false, IPPROTO_TCP, sizeof(peer_tcphdr) + options_len + payload);
    peer_tcphdr *head = peer_add(pkt, NULL, sizeof *head);

    head->source = htons(80);
    head->dest = htons(tcp->port);
    head->seq = htonl(tcp->seq);
    head->ack_seq = htonl(tcp->ack);
    ((uint8_t *)head)[12] = (uint8_t)((sizeof *head + options_len) / 4 << 4);
    head->th_flags = flags;
    head->window = htons(65535);
    peer_add(pkt, options, options_len);
    return pkt;
}

static inline peer_tcphdr *peer_tcp_head(struct weir_pkt *pkt)
{
    return (void *)(pkt->buf.data + pkt->l4);
}

static inline bool peer_is_tcp(const struct peer *p, const struct weir_pkt *pkt, const void *arg)
{
    const peer_tcphdr *tcp = peer_ip4_of(pkt, IPPROTO_TCP);

    (void)p;
    (void)arg;
    return tcp && ntohs(tcp->dest) == 80;
}

/* The kernel connects to us; checksums of ours are left to the device if `device`. */
static inline void peer_connect(struct peer *p, struct peer_tcp *tcp, bool device)
{
    static const uint8_t options[] = { 2, 4, 1460 >> 8, 1460 & 255, 1, 3, 3, 7 };
    struct sockaddr_in addr = peer_addr(80);
    const peer_tcphdr *syn;
    struct weir_pkt *pkt;

    tcp->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(tcp->fd, (void *)&addr, sizeof addr), -1);
    assert_int_equal(errno, EINPROGRESS);
    pkt = peer_await(p, peer_is_tcp, NULL);
    syn = peer_ip4_of(pkt, IPPROTO_TCP);
    assert_true(syn->syn && !syn->ack);
    tcp->port = ntohs(syn->source);
    tcp->ack = ntohl(syn->seq) + 1;
    tcp->seq = 1000;
    weir_pkt_free(pkt);
    pkt = peer_segment(p, tcp, TH_SYN | TH_ACK, options, sizeof options, 0);
    peer_checksum(pkt, &peer_tcp_head(pkt)->check, IPPROTO_TCP, device);
    peer_send(p, 0, pkt);
    tcp->seq++;
    weir_pkt_free(peer_await(p, peer_is_tcp, NULL)); /* its ACK */
}

/* A segment for the device to cut: all headers in the first piece, `len` bytes behind it in pieces
 * of at most `piece`. */
static inline void peer_send_tso(struct peer *p, struct peer_tcp *tcp, const uint8_t *data,
                                 size_t len, size_t piece, uint16_t gso_size)
{
    struct weir_pkt *pkt = peer_segment(p, tcp, TH_ACK | TH_PUSH, "", 0, len), *last = pkt;

    for (size_t at = 0; at < len; at += piece) {
        size_t now = len - at < piece ? len - at : piece;

        last->frag = weir_pkt_get(&p->pkts);
        assert_non_null(last->frag);
        last = last->frag;
        peer_add(last, data + at, now);
    }
    peer_checksum(pkt, &peer_tcp_head(pkt)->check, IPPROTO_TCP, true);
    pkt->flags |= WEIR_PKT_TSO;
    pkt->gso_size = gso_size;
    peer_send(p, 0, pkt);
    tcp->seq += (uint32_t)len;
}

#endif
