/* floor_epoll.c - the barest epoll loop that answers a fixed response, or sends back what it gets:
 * level-triggered, one read and one write per wake-up of a connection, nothing parsed.
 *
 * A connection that does not take all that is sent to it is not read from until it has. */
#include "perf/floor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 512 };

static uint8_t matched[FLOOR_CONNS];
static uint64_t left[FLOOR_CONNS]; /* bytes that are still to be sent; > 0: waits to be writable */
static char *kept[FLOOR_CONNS];    /* echo: these bytes, and where the next one is */
static size_t kept_at[FLOOR_CONNS];
static int epoll;
static long edge = 0, spin_us = 0, rx_size = 4096;

static const struct floor_option options[] = {
    { "edge", "edge-triggered (1) or level-triggered (0)", &edge, 0, 1 },
    { "spin", "us to poll before sleeping", &spin_us, 0, 1000 },
    { "size", "bytes received at a time", &rx_size, 64, FLOOR_RX_MAX },
};

static int64_t floor_now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void floor_watch(int op, int fd, uint32_t events)
{
    struct epoll_event event = { .events = events | (edge ? EPOLLET : 0), .data.fd = fd };

    if (epoll_ctl(epoll, op, fd, &event) < 0)
        weir_floor_die("epoll_ctl", errno);
}

static void floor_accept(int listener)
{
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (fd >= FLOOR_CONNS)
            weir_floor_die("accept", EMFILE);
        matched[fd] = 0;
        floor_watch(EPOLL_CTL_ADD, fd, EPOLLIN);
    }
}

static void floor_close(int fd)
{
    if (left[fd] > 0) {
        free(kept[fd]);
        kept[fd] = NULL;
        left[fd] = 0;
    }
    close(fd);
}

/* It is all sent. */
static void floor_sent(int fd)
{
    free(kept[fd]);
    kept[fd] = NULL;
    if (weir_floor.closes)
        floor_close(fd);
    else
        floor_watch(EPOLL_CTL_MOD, fd, EPOLLIN);
}

static void floor_send_more(int fd)
{
    while (left[fd] > 0) {
        const char *from = kept[fd] ? kept[fd] + kept_at[fd] : NULL;
        size_t len = from ? (size_t)left[fd] : floor_rest(left[fd], &from);
        ssize_t sent = send(fd, from, len, MSG_NOSIGNAL);

        if (sent < 0 && errno == EAGAIN)
            return;
        if (sent < 0) {
            floor_close(fd);
            return;
        }
        kept_at[fd] += (size_t)sent;
        left[fd] -= (uint64_t)sent;
    }
    floor_sent(fd);
}

/* Only `sent` of `len` bytes went, or none (-1). */
static void floor_block(int fd, ssize_t sent, uint64_t len)
{
    if (sent < 0 && errno != EAGAIN) {
        floor_close(fd);
        return;
    }
    left[fd] = len - (sent > 0 ? (uint64_t)sent : 0);
    floor_watch(EPOLL_CTL_MOD, fd, EPOLLOUT);
}

static void floor_answer(int fd, unsigned count)
{
    uint64_t len = (uint64_t)count * weir_floor.response;
    size_t piece = len < weir_floor.answers_len ? (size_t)len : weir_floor.answers_len;
    ssize_t sent = send(fd, weir_floor.answers, piece, MSG_NOSIGNAL);

    if (sent != (ssize_t)len)
        floor_block(fd, sent, len);
    else if (weir_floor.closes)
        close(fd);
}

static void floor_echo(int fd, const char *data, size_t len)
{
    ssize_t sent = send(fd, data, len, MSG_NOSIGNAL);
    size_t done = sent > 0 ? (size_t)sent : 0;

    if (sent == (ssize_t)len)
        return;
    floor_block(fd, sent, len);
    if (left[fd] == 0)
        return; /* closed */
    kept[fd] = malloc(len - done);
    if (kept[fd] == NULL)
        weir_floor_die("echo", ENOMEM);
    memcpy(kept[fd], data + done, len - done);
    kept_at[fd] = 0;
}

static void floor_serve(int fd)
{
    static char data[FLOOR_RX_MAX];
    ssize_t len = recv(fd, data, (size_t)rx_size, 0);
    unsigned count;

    if (len < 0 && errno == EAGAIN)
        return;
    if (len <= 0) {
        floor_close(fd);
        return;
    }
    if (weir_floor.echo) {
        floor_echo(fd, data, (size_t)len);
        return;
    }
    count = floor_count(&matched[fd], data, (size_t)len);
    if (count > 0)
        floor_answer(fd, count);
}

static int floor_wait(struct epoll_event *events)
{
    int64_t until;
    int count;

    if (spin_us == 0)
        return epoll_wait(epoll, events, EVENTS, -1);
    until = floor_now_us() + spin_us;
    do {
        count = epoll_wait(epoll, events, EVENTS, 0);
    } while (count == 0 && floor_now_us() < until);
    return count != 0 ? count : epoll_wait(epoll, events, EVENTS, -1);
}

int main(int argc, char **argv)
{
    static struct epoll_event events[EVENTS];
    int listener, count;

    weir_floor_options(argc, argv, "The barest epoll loop that answers a fixed response.", options,
                       sizeof options / sizeof options[0]);
    if (!weir_floor_takes(rx_size))
        return 2;
    listener = weir_floor_listen(true);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        weir_floor_die("epoll", errno);
    floor_watch(EPOLL_CTL_ADD, listener, EPOLLIN);
    for (;;) {
        count = floor_wait(events);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;

            if (fd == listener)
                floor_accept(listener);
            else if (left[fd] > 0)
                floor_send_more(fd);
            else
                floor_serve(fd);
        }
    }
}
