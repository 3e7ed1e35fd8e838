/* test_packetdrill.c - the object, driven through its table as packetdrill does it: calls that
 * block from a second thread, which looks at the clock when they return; packets from their IP
 * header on; time that passes only in usleep and netdev_receive.
 *
 * Its only argument is the path of the object. */
#include "../core/testing.h"
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include "tests/packetdrill/abi.h"

static packetdrill_init_fn *object_init;
static struct packetdrill_interface ifc;

#define CALL(name, ...) ifc.name(ifc.userdata, ##__VA_ARGS__)

/* A call that fails, and how. */
#define expect_error(number, call)         \
    do {                                   \
        errno = 0;                         \
        assert_int_equal(call, -1);        \
        assert_int_equal(errno, (number)); \
    } while (0)

static void begin(const char *flags)
{
    object_init(flags, &ifc);
}

static void end(void)
{
    CALL(free);
}

static int64_t now_us(void)
{
    struct timeval tv;

    assert_int_equal(CALL(gettimeofday, &tv, NULL), 0);
    return (int64_t)tv.tv_sec * 1000000 + tv.tv_usec;
}

static void pass_ms(unsigned ms)
{
    assert_int_equal(CALL(usleep, ms * 1000), 0);
}

/* --- packets --- */

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16, WINDOW = 8192 };

/* Somebody who speaks TCP with the stack, and what they say. */
struct peer {
    bool v6;
    uint16_t port, stack_port;
    uint32_t seq, ack; /* next to send, next to expect */
    uint32_t ts;       /* their timestamp; 0: without the option */
    uint8_t ip[16], stack_ip[16];
};

struct segment {
    uint16_t sport, dport;
    uint32_t seq, ack;
    uint8_t flags;
    uint32_t ts_val, ts_ecr;
    size_t len;
    uint8_t data[65536];
    int64_t at_us;
};

static struct segment out; /* the last that the stack has sent */

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static uint8_t *put32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
    return at + 4;
}

static uint32_t sum16(const uint8_t *data, size_t len, uint32_t sum)
{
    for (size_t i = 0; i < len; i++)
        sum += i % 2 ? data[i] : (uint32_t)data[i] << 8;
    return sum;
}

static void put_sum(uint8_t *at, uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    at[0] = (uint8_t)(~sum >> 8);
    at[1] = (uint8_t)~sum;
}

/* Its IP header; returns the length. */
static size_t put_ip(const struct peer *peer, uint8_t *packet, size_t tcp_len)
{
    size_t header = peer->v6 ? 40 : 20, total = header + tcp_len;

    memset(packet, 0, header);
    if (peer->v6) {
        packet[0] = 0x60;
        packet[4] = (uint8_t)(tcp_len >> 8);
        packet[5] = (uint8_t)tcp_len;
        packet[6] = IPPROTO_TCP;
        packet[7] = 64;
        memcpy(packet + 8, peer->ip, 16);
        memcpy(packet + 24, peer->stack_ip, 16);
    } else {
        packet[0] = 0x45;
        packet[2] = (uint8_t)(total >> 8);
        packet[3] = (uint8_t)total;
        packet[8] = 64;
        packet[9] = IPPROTO_TCP;
        memcpy(packet + 12, peer->ip, 4);
        memcpy(packet + 16, peer->stack_ip, 4);
        put_sum(packet + 10, sum16(packet, 20, 0));
    }
    return header;
}

static size_t put_options(const struct peer *peer, uint8_t *at, uint8_t flags)
{
    uint8_t *begin = at;

    if (flags & SYN)
        at = put32(at, 0x02040000 | 1000); /* MSS */
    if (peer->ts) {
        at = put32(at, 0x0101080a);
        at = put32(at, peer->ts);
        at = put32(at, out.ts_val);
    }
    return (size_t)(at - begin);
}

/* The peer says this; seq moves on. */
static void say(struct peer *peer, uint8_t flags, const void *data, size_t len)
{
    static uint8_t packet[2048];
    size_t ip = peer->v6 ? 40 : 20, tcp_len;
    uint8_t *tcp = packet + ip;
    uint32_t sum = IPPROTO_TCP;

    memset(packet, 0, sizeof packet);
    put32(tcp, (uint32_t)peer->port << 16 | peer->stack_port);
    put32(tcp + 4, peer->seq);
    put32(tcp + 8, flags & ACK ? peer->ack : 0);
    tcp_len = 20 + put_options(peer, tcp + 20, flags);
    put32(tcp + 12, (uint32_t)(tcp_len / 4) << 28 | (uint32_t)flags << 16 | WINDOW);
    if (len)
        memcpy(tcp + tcp_len, data, len);
    tcp_len += len;
    put_ip(peer, packet, tcp_len);
    sum = sum16(packet + (peer->v6 ? 8 : 12), peer->v6 ? 32 : 8, sum + (uint32_t)tcp_len);
    put_sum(tcp + 16, sum16(tcp, tcp_len, sum));
    peer->seq += (uint32_t)len + ((flags & SYN) != 0) + ((flags & FIN) != 0);
    assert_int_equal(CALL(netdev_send, packet, ip + tcp_len), 0);
}

static void out_options(const uint8_t *at, const uint8_t *end)
{
    out.ts_val = out.ts_ecr = 0;
    while (at < end && *at != 0) {
        if (*at == 8) {
            out.ts_val = get32(at + 2);
            out.ts_ecr = get32(at + 6);
        }
        at += *at == 1 ? 1 : at[1];
    }
}

/* The next segment of the stack, with these flags, into `out`; ack moves on. */
static void hear(struct peer *peer, uint8_t flags)
{
    static uint8_t packet[70000];
    size_t len = sizeof packet, header;
    const uint8_t *tcp;
    long long us;

    assert_int_equal(CALL(netdev_receive, packet, &len, &us), 0);
    assert_int_equal(packet[0] >> 4, peer->v6 ? 6 : 4);
    tcp = packet + (peer->v6 ? 40 : 20);
    header = (size_t)(tcp[12] >> 4) * 4;
    out.sport = (uint16_t)(get32(tcp) >> 16);
    out.dport = (uint16_t)get32(tcp);
    out.seq = get32(tcp + 4);
    out.ack = get32(tcp + 8);
    out.flags = tcp[13];
    out.len = len - (size_t)(tcp - packet) - header;
    out.at_us = us;
    out_options(tcp + 20, tcp + header);
    memcpy(out.data, tcp + header, out.len);
    assert_int_equal(out.flags, flags);
    assert_int_equal(out.dport, peer->port);
    peer->ack = out.seq + (uint32_t)out.len + ((flags & SYN) != 0) + ((flags & FIN) != 0);
    memcpy(peer->stack_ip, packet + (peer->v6 ? 8 : 12), peer->v6 ? 16 : 4);
    peer->stack_port = out.sport;
}

/* --- addresses --- */

static struct peer peer_new(bool v6)
{
    struct peer peer = { .v6 = v6, .port = 40000, .stack_port = 8080, .seq = 1000 };
    int family = v6 ? AF_INET6 : AF_INET;

    inet_pton(family, v6 ? "2001:db8::1" : "192.0.2.1", peer.ip);
    inet_pton(family, v6 ? "fd3d:fa7b:d17d::1234:5678" : "192.168.77.99", peer.stack_ip);
    return peer;
}

static socklen_t address(struct sockaddr_storage *addr, bool v6, const uint8_t ip[16],
                         uint16_t port)
{
    struct sockaddr_in *in = (void *)addr;
    struct sockaddr_in6 *in6 = (void *)addr;

    memset(addr, 0, sizeof *addr);
    addr->ss_family = v6 ? AF_INET6 : AF_INET;
    memcpy(v6 ? (void *)&in6->sin6_addr : (void *)&in->sin_addr, ip, v6 ? 16 : 4);
    if (v6)
        in6->sin6_port = htons(port);
    else
        in->sin_port = htons(port);
    return v6 ? sizeof *in6 : sizeof *in;
}

static int new_socket(bool v6)
{
    int fd = CALL(socket, v6 ? AF_INET6 : AF_INET, SOCK_STREAM, IPPROTO_TCP);

    assert_true(fd >= 0);
    return fd;
}

/* Listens at the address that the peer speaks to: one that nobody has configured. */
static int new_listener(const struct peer *peer)
{
    struct sockaddr_storage addr;
    socklen_t len = address(&addr, peer->v6, peer->stack_ip, peer->stack_port);
    int fd = new_socket(peer->v6), on = 1;

    assert_int_equal(CALL(setsockopt, fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    assert_int_equal(CALL(bind, fd, (void *)&addr, len), 0);
    assert_int_equal(CALL(listen, fd, 1), 0);
    return fd;
}

static void handshake(struct peer *peer)
{
    say(peer, SYN, NULL, 0);
    hear(peer, SYN | ACK);
    assert_int_equal(out.ack, peer->seq);
    say(peer, ACK, NULL, 0);
}

/* A connection that the peer has opened; 0: on a listener of its own, closed at once. */
static int established(struct peer *peer)
{
    int listener = new_listener(peer), fd;

    handshake(peer);
    fd = CALL(accept, listener, NULL, NULL);
    assert_true(fd >= 0);
    assert_int_equal(CALL(close, listener), 0);
    return fd;
}

static void set_nonblock(int fd)
{
    assert_int_equal(CALL(fcntl, fd, F_GETFL), O_RDWR);
    assert_int_equal(CALL(fcntl, fd, F_SETFL, O_RDWR | O_NONBLOCK), 0);
    assert_int_equal(CALL(fcntl, fd, F_GETFL), O_RDWR | O_NONBLOCK);
}

/* --- the second thread --- */

struct blocked {
    pthread_t thread;
    enum { DO_ACCEPT, DO_READ, DO_WRITE, DO_POLL, DO_CONNECT } what;
    int fd;
    size_t len;
    int timeout_ms;
    struct sockaddr_storage addr;
    socklen_t addr_len;
    _Atomic pid_t tid; /* from when it begins */
    int64_t result;
    int error;
    int64_t at_us; /* when it returned */
    uint8_t data[4096];
};

static int64_t blocked_call(struct blocked *b)
{
    static uint8_t much[1 << 20];
    struct pollfd pollfd = { .fd = b->fd, .events = POLLIN };

    switch (b->what) {
    case DO_ACCEPT:
        b->addr_len = sizeof b->addr;
        return CALL(accept, b->fd, (void *)&b->addr, &b->addr_len);
    case DO_READ:
        return CALL(read, b->fd, b->data, b->len);
    case DO_WRITE:
        return CALL(write, b->fd, much, b->len);
    case DO_POLL:
        return CALL(poll, &pollfd, 1, b->timeout_ms);
    default:
        return CALL(connect, b->fd, (void *)&b->addr, b->addr_len);
    }
}

static void *blocked_main(void *arg)
{
    struct blocked *b = arg;

    b->tid = gettid();
    b->result = blocked_call(b);
    b->error = errno;
    b->at_us = now_us();
    return NULL;
}

static bool is_asleep(pid_t tid)
{
    char path[64], text[512];
    const char *name_end;
    FILE *file;
    size_t len;

    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)tid);
    file = fopen(path, "r");
    if (!file)
        return true; /* it has ended */
    len = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[len] = 0;
    name_end = strrchr(text, ')');
    return name_end && name_end[2] == 'S';
}

/* As packetdrill does, goes on as soon as the thread sleeps in its call. */
static void block(struct blocked *b)
{
    assert_int_equal(pthread_create(&b->thread, NULL, blocked_main, b), 0);
    while (b->tid == 0 || !is_asleep(b->tid))
        sched_yield();
}

static void unblock(struct blocked *b)
{
    assert_int_equal(pthread_join(b->thread, NULL), 0);
}

/* --- a server --- */

static void server(bool v6)
{
    struct peer peer = peer_new(v6);
    struct blocked accepting = { .what = DO_ACCEPT }, reading = { .what = DO_READ, .len = 100 };
    int64_t when;
    int fd;

    begin(NULL);
    accepting.fd = new_listener(&peer);
    block(&accepting);
    say(&peer, SYN, NULL, 0);
    hear(&peer, SYN | ACK);
    pass_ms(100);
    when = now_us();
    say(&peer, ACK, NULL, 0);
    pass_ms(30000); /* the call returns when it could, not when its thread runs */
    unblock(&accepting);
    fd = (int)accepting.result;
    assert_true(fd >= 0);
    assert_in_range(accepting.at_us, when, when + 100);
    assert_int_equal(accepting.addr.ss_family, v6 ? AF_INET6 : AF_INET);

    reading.fd = fd;
    block(&reading);
    when = now_us();
    say(&peer, PSH | ACK, "hello", 5);
    unblock(&reading);
    assert_int_equal(reading.result, 5);
    assert_memory_equal(reading.data, "hello", 5);
    assert_in_range(reading.at_us, when, when + 100);

    assert_int_equal(CALL(write, fd, "and to you", 10), 10);
    hear(&peer, PSH | ACK);
    assert_int_equal(out.ack, peer.seq);
    assert_int_equal(out.len, 10);
    assert_memory_equal(out.data, "and to you", 10);
    say(&peer, FIN | ACK, NULL, 0);
    hear(&peer, ACK);
    assert_int_equal(CALL(read, fd, reading.data, 100), 0);
    assert_int_equal(CALL(close, fd), 0);
    hear(&peer, FIN | ACK);
    say(&peer, ACK, NULL, 0);
    expect_error(EBADF, CALL(read, fd, reading.data, 100));
    end();
}

static void serves_by_ipv4(void **state)
{
    (void)state;
    server(false);
}

static void serves_by_ipv6(void **state)
{
    (void)state;
    server(true);
}

/* --- a client --- */

static void client(bool v6)
{
    struct peer peer = peer_new(v6);
    struct pollfd pollfd = { .events = POLLIN | POLLOUT };
    struct sockaddr_storage addr;
    socklen_t len = address(&addr, v6, peer.ip, peer.port);
    int fd, error = -1;
    socklen_t error_len = sizeof error;

    begin(NULL);
    fd = pollfd.fd = new_socket(v6);
    set_nonblock(fd);
    expect_error(EINPROGRESS, CALL(connect, fd, (void *)&addr, len));
    expect_error(EALREADY, CALL(connect, fd, (void *)&addr, len));
    hear(&peer, SYN);
    assert_int_equal(CALL(poll, &pollfd, 1, 0), 0);
    pass_ms(50);
    say(&peer, SYN | ACK, NULL, 0);
    hear(&peer, ACK);
    assert_int_equal(CALL(poll, &pollfd, 1, 0), 1);
    assert_int_equal(pollfd.revents, POLLOUT);
    assert_int_equal(CALL(getsockopt, fd, SOL_SOCKET, SO_ERROR, &error, &error_len), 0);
    assert_int_equal(error, 0);
    expect_error(EISCONN, CALL(connect, fd, (void *)&addr, len));
    expect_error(EAGAIN, CALL(read, fd, &error, 1));
    say(&peer, PSH | ACK, "x", 1);
    assert_int_equal(CALL(poll, &pollfd, 1, 0), 1);
    assert_int_equal(pollfd.revents, POLLIN | POLLOUT);
    end();
}

static void connects_by_ipv4(void **state)
{
    (void)state;
    client(false);
}

static void connects_by_ipv6(void **state)
{
    (void)state;
    client(true);
}

static void connect_that_blocks_is_refused(void **state)
{
    struct peer peer = peer_new(false);
    struct blocked connecting = { .what = DO_CONNECT };

    (void)state;
    begin(NULL);
    connecting.fd = new_socket(false);
    connecting.addr_len = address(&connecting.addr, false, peer.ip, peer.port);
    block(&connecting);
    hear(&peer, SYN);
    peer.seq = 0;
    say(&peer, RST | ACK, NULL, 0);
    unblock(&connecting);
    assert_int_equal(connecting.result, -1);
    assert_int_equal(connecting.error, ECONNREFUSED);
    end();
}

/* --- time --- */

static void time_is_virtual(void **state)
{
    struct timespec before, after;
    int64_t began;

    (void)state;
    begin(NULL);
    began = now_us();
    clock_gettime(CLOCK_MONOTONIC, &before);
    for (int i = 0; i < 100; i++)
        pass_ms(30000);
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_in_range(now_us() - began, 3000000000, 3000000000 + 1000);
    assert_true(after.tv_sec - before.tv_sec < 300);
    end();
}

/* Whoever spins on the clock gets on. */
static void time_passes_when_it_is_looked_at(void **state)
{
    int64_t at;

    (void)state;
    begin(NULL);
    at = now_us();
    assert_int_equal(now_us(), at + 1);
    assert_int_equal(now_us(), at + 2);
    end();
}

/* The SYN|ACK again after a second (RFC 6298 2), and two more: nothing but netdev_receive is
 * called. */
static void receiving_lets_time_pass(void **state)
{
    struct peer peer = peer_new(false);
    int64_t last;

    (void)state;
    begin(NULL);
    new_listener(&peer);
    say(&peer, SYN, NULL, 0);
    hear(&peer, SYN | ACK);
    for (int seconds = 1; seconds <= 4; seconds *= 2) {
        last = out.at_us;
        hear(&peer, SYN | ACK);
        assert_in_range(out.at_us - last, seconds * 1000000, seconds * 1000000 + 70);
    }
    end();
}

static void poll_times_out_in_virtual_time(void **state)
{
    struct peer peer = peer_new(false);
    struct blocked polling = { .what = DO_POLL, .timeout_ms = 100 };
    int64_t began;

    (void)state;
    begin(NULL);
    polling.fd = established(&peer);
    began = now_us();
    block(&polling);
    pass_ms(10000);
    unblock(&polling);
    assert_int_equal(polling.result, 0);
    assert_in_range(polling.at_us - began, 100000, 100100);
    end();
}

/* packetdrill waits for the thread before it goes on, and lets no time pass. */
static void blocked_call_alone_lets_time_pass(void **state)
{
    struct peer peer = peer_new(false);
    struct blocked polling = { .what = DO_POLL, .timeout_ms = 90000 };
    int64_t began;

    (void)state;
    begin(NULL);
    polling.fd = established(&peer);
    began = now_us();
    block(&polling);
    unblock(&polling);
    assert_int_equal(polling.result, 0);
    assert_in_range(polling.at_us - began, 90000000, 90000100);
    end();
}

/* --- the end of connections --- */

static void reset_is_reported(void **state)
{
    struct peer peer = peer_new(false);
    struct pollfd pollfd = { .events = POLLIN };
    char byte;

    (void)state;
    begin(NULL);
    pollfd.fd = established(&peer);
    say(&peer, RST, NULL, 0);
    assert_int_equal(CALL(poll, &pollfd, 1, -1), 1);
    assert_int_equal(pollfd.revents, POLLIN | POLLERR | POLLHUP);
    expect_error(ECONNRESET, CALL(read, pollfd.fd, &byte, 1));
    expect_error(EPIPE, CALL(write, pollfd.fd, "x", 1));
    end();
}

static void linger_of_nothing_resets(void **state)
{
    struct peer peer = peer_new(false);
    struct linger linger = { .l_onoff = 1 };
    int fd;

    (void)state;
    begin(NULL);
    fd = established(&peer);
    assert_int_equal(CALL(setsockopt, fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    assert_int_equal(CALL(close, fd), 0);
    hear(&peer, RST | ACK);
    end();
}

static void shutdown_ends_one_side(void **state)
{
    struct peer peer = peer_new(false);
    char data[8];
    int fd;

    (void)state;
    begin(NULL);
    fd = established(&peer);
    assert_int_equal(CALL(shutdown, fd, SHUT_WR), 0);
    hear(&peer, FIN | ACK);
    expect_error(EPIPE, CALL(write, fd, "x", 1));
    say(&peer, PSH | ACK, "late", 4);
    assert_int_equal(CALL(recv, fd, data, 8, MSG_PEEK), 4);
    assert_int_equal(CALL(recv, fd, data, 8, 0), 4);
    assert_memory_equal(data, "late", 4);
    assert_int_equal(CALL(shutdown, fd, SHUT_RD), 0);
    assert_int_equal(CALL(read, fd, data, 8), 0);
    end();
}

/* At its end it closes by itself what the script has left open. */
static void descriptors_may_be_closed_behind_our_back(void **state)
{
    struct peer peer = peer_new(false);
    int fd, other;

    (void)state;
    begin(NULL);
    fd = established(&peer);
    new_socket(false); /* where the listener was */
    assert_int_equal(close(fd), 0);
    other = new_socket(false); /* takes its place */
    assert_int_equal(other, fd);
    expect_error(ENOTCONN, CALL(read, other, &fd, 1));
    assert_int_equal(close(other), 0);
    end();
}

static void socket_that_somebody_waits_for_stays_open(void **state)
{
    struct peer peer = peer_new(false);
    struct blocked reading = { .what = DO_READ, .len = 10 };

    (void)state;
    begin(NULL);
    reading.fd = established(&peer);
    block(&reading);
    expect_error(EBUSY, CALL(close, reading.fd));
    say(&peer, FIN | ACK, NULL, 0);
    unblock(&reading);
    assert_int_equal(reading.result, 0);
    assert_int_equal(CALL(close, reading.fd), 0);
    end();
}

/* --- sending more than fits --- */

static void write_blocks_until_there_is_room(void **state)
{
    struct peer peer = peer_new(false);
    struct blocked writing = { .what = DO_WRITE, .len = 20000 };
    int size = 5000, queued;
    size_t sum = 0;

    (void)state;
    begin(NULL);
    writing.fd = established(&peer);
    assert_int_equal(CALL(setsockopt, writing.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
    block(&writing);
    for (; sum < 20000; sum += out.len) {
        hear(&peer, sum + 1000 == 20000 ? PSH | ACK : ACK);
        if (sum == 0) {
            assert_int_equal(CALL(ioctl, writing.fd, SIOCOUTQ, &queued), 0);
            assert_in_range(queued, 8000, 11000);
        }
        say(&peer, ACK, NULL, 0);
    }
    unblock(&writing);
    assert_int_equal(writing.result, 20000);
    end();
}

static void write_takes_what_fits(void **state)
{
    static uint8_t much[100000];
    struct peer peer = peer_new(false);
    struct pollfd pollfd = { .events = POLLOUT };
    struct iovec iov = { much, sizeof much };
    int size = 5000;
    ssize_t n;

    (void)state;
    begin(NULL);
    pollfd.fd = established(&peer);
    set_nonblock(pollfd.fd);
    assert_int_equal(CALL(setsockopt, pollfd.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
    n = CALL(writev, pollfd.fd, &iov, 1);
    assert_in_range(n, 10000, 11000);
    expect_error(EAGAIN, CALL(writev, pollfd.fd, &iov, 1));
    assert_int_equal(CALL(poll, &pollfd, 1, 0), 0);
    hear(&peer, ACK);
    say(&peer, ACK, NULL, 0);
    assert_int_equal(CALL(poll, &pollfd, 1, 0), 1);
    end();
}

/* --- epoll --- */

static void epoll_tells_levels_and_edges(void **state)
{
    struct peer peer = peer_new(false);
    struct epoll_event event = { .events = EPOLLIN, .data.u32 = 7 };
    char data[16];
    int fd, epoll;

    (void)state;
    begin(NULL);
    fd = established(&peer);
    epoll = CALL(epoll_create, 1);
    assert_true(epoll >= 0);
    assert_int_equal(CALL(epoll_ctl, epoll, EPOLL_CTL_ADD, fd, &event), 0);
    expect_error(EEXIST, CALL(epoll_ctl, epoll, EPOLL_CTL_ADD, fd, &event));
    assert_int_equal(CALL(epoll_wait, epoll, &event, 1, 10), 0);
    say(&peer, PSH | ACK, "1", 1);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(CALL(epoll_wait, epoll, &event, 1, -1), 1);
        assert_int_equal(event.events, EPOLLIN);
        assert_int_equal(event.data.u32, 7);
    }
    event.events = EPOLLIN | EPOLLET;
    assert_int_equal(CALL(epoll_ctl, epoll, EPOLL_CTL_MOD, fd, &event), 0);
    assert_int_equal(CALL(epoll_wait, epoll, &event, 1, 0), 1);
    assert_int_equal(CALL(epoll_wait, epoll, &event, 1, 0), 0);
    say(&peer, PSH | ACK, "2", 1);
    assert_int_equal(CALL(epoll_wait, epoll, &event, 1, 0), 1);
    assert_int_equal(CALL(read, fd, data, sizeof data), 2);
    assert_int_equal(CALL(epoll_ctl, epoll, EPOLL_CTL_DEL, fd, &event), 0);
    expect_error(ENOENT, CALL(epoll_ctl, epoll, EPOLL_CTL_DEL, fd, &event));
    expect_error(ENOTSOCK, CALL(read, epoll, data, 1));
    end();
}

/* --- what there is not, and what is not allowed --- */

static void errors_are_those_of_the_library(void **state)
{
    struct peer peer = peer_new(false);
    struct sockaddr_storage addr;
    socklen_t len = address(&addr, false, peer.stack_ip, 80);
    int fd, on = 1;
    char byte;

    (void)state;
    begin(NULL);
    expect_error(EAFNOSUPPORT, CALL(socket, AF_UNIX, SOCK_STREAM, 0));
    expect_error(ESOCKTNOSUPPORT, CALL(socket, AF_INET, SOCK_DGRAM, 0));
    expect_error(EPROTONOSUPPORT, CALL(socket, AF_INET, SOCK_STREAM, IPPROTO_UDP));
    expect_error(EBADF, CALL(read, 777, &byte, 1));
    expect_error(EBADF, CALL(close, -1));
    fd = new_socket(false);
    expect_error(ENOTCONN, CALL(read, fd, &byte, 1));
    expect_error(EPIPE, CALL(write, fd, &byte, 1));
    expect_error(ENOTCONN, CALL(shutdown, fd, SHUT_WR));
    expect_error(EINVAL, CALL(accept, fd, NULL, NULL));
    expect_error(ENOPROTOOPT, CALL(setsockopt, fd, IPPROTO_TCP, TCP_FASTOPEN, &on, sizeof on));
    expect_error(ENOTTY, CALL(ioctl, fd, FIOCLEX));
    assert_int_equal(CALL(bind, fd, (void *)&addr, len), 0);
    expect_error(EINVAL, CALL(bind, fd, (void *)&addr, len));
    assert_int_equal(CALL(listen, fd, 0), 0);
    set_nonblock(fd);
    expect_error(EAGAIN, CALL(accept, fd, NULL, NULL));
    fd = new_socket(false);
    assert_int_equal(CALL(bind, fd, (void *)&addr, len), 0);
    expect_error(EADDRINUSE, CALL(listen, fd, 1));
    assert_int_equal(CALL(netdev_send, "\x77", 1), -1);
    end();
}

static void options_are_kept(void **state)
{
    struct peer peer = peer_new(false);
    int fd, on = 1, value = 0;
    socklen_t len = sizeof value;
    char name[16];
    struct tcp_info info;

    (void)state;
    begin(NULL);
    fd = established(&peer);
    assert_int_equal(CALL(getsockopt, fd, IPPROTO_TCP, TCP_NODELAY, &value, &len), 0);
    assert_int_equal(value, 0);
    assert_int_equal(CALL(setsockopt, fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
    assert_int_equal(CALL(getsockopt, fd, IPPROTO_TCP, TCP_NODELAY, &value, &len), 0);
    assert_int_equal(value, 1);
    assert_int_equal(CALL(setsockopt, fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4), 0);
    len = sizeof name;
    assert_int_equal(CALL(getsockopt, fd, IPPROTO_TCP, TCP_CONGESTION, name, &len), 0);
    assert_string_equal(name, "reno");
    expect_error(ENOENT, CALL(setsockopt, fd, IPPROTO_TCP, TCP_CONGESTION, "none", 4));
    assert_int_equal(CALL(write, fd, "x", 1), 1);
    len = sizeof info;
    assert_int_equal(CALL(getsockopt, fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
    assert_int_equal(info.tcpi_state, 1);
    assert_int_equal(info.tcpi_snd_mss, 1000);
    assert_int_equal(info.tcpi_snd_cwnd, 10); /* RFC 6928 */
    assert_int_equal(info.tcpi_unacked, 1);
    end();
}

/* A Nagle test would take a round trip; that two hours pass in no time shows more. */
static void keepalive_probes(void **state)
{
    struct peer peer = peer_new(false);
    int fd, on = 1;
    int64_t began;

    (void)state;
    begin(NULL);
    fd = established(&peer);
    began = now_us();
    assert_int_equal(CALL(setsockopt, fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on), 0);
    pass_ms(2000000);
    pass_ms(2000000);
    pass_ms(2000000);
    hear(&peer, ACK);
    assert_in_range(out.at_us - began, 7199000000, 7201000000); /* RFC 1122 4.2.3.6 */
    assert_int_equal(out.len, 0);
    end();
}

/* --- a test that cannot go on --- */

static void wait_for_nothing(void *arg)
{
    size_t len = 100;
    uint8_t packet[100];
    long long us;

    (void)arg;
    begin("limit=10");
    pass_ms(1500);
    CALL(netdev_receive, packet, &len, &us);
}

static void receiving_gives_up(void **state)
{
    char said[256];
    int status;

    (void)state;
    status = child_run(wait_for_nothing, NULL, said, sizeof said);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
    assert_non_null(strstr(said, "at 11.500000 s: no packet has come for 10 s, since 1.500000 s"));
}

static void begin_with(void *flags)
{
    begin(flags);
}

static void wrong_flags_are_refused(void **state)
{
    static const char *const flags[][2] = { { "ip", "not name=value: ip" },
                                            { "colour=red", "no such flag: colour" },
                                            { "mtu=huge", "not a number that this can be: mtu" },
                                            { "ip=1.2.3.4", "no stack: " } };
    char said[512], text[32];

    (void)state;
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        int status;

        snprintf(text, sizeof text, "%s", flags[i][0]);
        status = child_run(begin_with, text, said, sizeof said);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
        assert_non_null(strstr(said, flags[i][1]));
    }
}

/* --- of the stack itself --- */

/* RFC 7323 4.3, 5.3: a segment whose ACK is not acceptable must not move TS.Recent, or PAWS would
 * refuse whatever the true peer says next. */
static void forged_ack_leaves_timestamps_alone(void **state)
{
    struct peer peer = peer_new(false), forger;
    char data[8];
    int fd;

    (void)state;
    begin(NULL);
    peer.ts = 100;
    fd = established(&peer);
    forger = peer;
    forger.ts = 200000;
    forger.ack = peer.ack + 9999;
    say(&forger, FIN | ACK, NULL, 0);
    hear(&peer, ACK);
    assert_int_equal(out.ts_ecr, 100);
    peer.ts = 101;
    say(&peer, PSH | ACK, "true", 4);
    assert_int_equal(CALL(recv, fd, data, 8, MSG_DONTWAIT), 4);
    hear(&peer, ACK);
    assert_int_equal(out.ack, peer.seq);
    assert_int_equal(out.ts_ecr, 101);
    end();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(serves_by_ipv4),
        cmocka_unit_test(serves_by_ipv6),
        cmocka_unit_test(connects_by_ipv4),
        cmocka_unit_test(connects_by_ipv6),
        cmocka_unit_test(connect_that_blocks_is_refused),
        cmocka_unit_test(time_is_virtual),
        cmocka_unit_test(time_passes_when_it_is_looked_at),
        cmocka_unit_test(receiving_lets_time_pass),
        cmocka_unit_test(poll_times_out_in_virtual_time),
        cmocka_unit_test(blocked_call_alone_lets_time_pass),
        cmocka_unit_test(reset_is_reported),
        cmocka_unit_test(linger_of_nothing_resets),
        cmocka_unit_test(shutdown_ends_one_side),
        cmocka_unit_test(descriptors_may_be_closed_behind_our_back),
        cmocka_unit_test(socket_that_somebody_waits_for_stays_open),
        cmocka_unit_test(write_blocks_until_there_is_room),
        cmocka_unit_test(write_takes_what_fits),
        cmocka_unit_test(epoll_tells_levels_and_edges),
        cmocka_unit_test(errors_are_those_of_the_library),
        cmocka_unit_test(options_are_kept),
        cmocka_unit_test(keepalive_probes),
        cmocka_unit_test(receiving_gives_up),
        cmocka_unit_test(wrong_flags_are_refused),
        cmocka_unit_test(forged_ack_leaves_timestamps_alone),
    };
    void *object;

    if (argc != 2) {
        fprintf(stderr, "usage: %s OBJECT\n", argv[0]);
        return 2;
    }
    object = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (object)
        *(void **)&object_init = dlsym(object, PACKETDRILL_INIT);
    if (!object_init) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
