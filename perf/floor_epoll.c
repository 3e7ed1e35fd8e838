/* floor_epoll.c - the barest epoll loop that answers a fixed response: level-triggered, one read
 * and one write per wake-up of a connection, nothing parsed.
 *
 * A yardstick, not a server: a peer that does not read its answers is cut off. */
#include "perf/floor.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 512 };

static uint8_t matched[FLOOR_CONNS];
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

static void floor_accept(int epoll, int listener)
{
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct epoll_event event = { .events = EPOLLIN | (edge ? EPOLLET : 0), .data.fd = fd };

        matched[fd] = 0;
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
            weir_floor_die("epoll_ctl", errno);
    }
}

static void floor_serve(int fd)
{
    static char data[FLOOR_RX_MAX];
    ssize_t len = recv(fd, data, (size_t)rx_size, 0);
    unsigned count;
    size_t answer;

    if (len < 0 && errno == EAGAIN)
        return;
    if (len <= 0) {
        close(fd);
        return;
    }
    count = floor_count(&matched[fd], data, (size_t)len);
    answer = (size_t)count * FLOOR_RESPONSE;
    if (count > 0 && send(fd, weir_floor_answers, answer, MSG_NOSIGNAL) != (ssize_t)answer)
        close(fd);
}

static int floor_wait(int epoll, struct epoll_event *events)
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
    struct epoll_event accepting = { .events = EPOLLIN };
    int listener, epoll, count;

    weir_floor_options(argc, argv, "The barest epoll loop that answers a fixed response.", options,
                       sizeof options / sizeof options[0]);
    listener = weir_floor_listen(true);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    accepting.data.fd = listener;
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &accepting) < 0)
        weir_floor_die("epoll", errno);
    for (;;) {
        count = floor_wait(epoll, events);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener)
                floor_accept(epoll, listener);
            else
                floor_serve(events[i].data.fd);
        }
    }
}
