/* abi.h - what packetdrill calls a stack by that it has loaded with --so_filename.
 *
 * It looks up PACKETDRILL_INIT in the shared object and calls it once, with the text of --so_flags
 * or NULL; that fills in this table.  The order of the members is the contract: there is no version
 * in it, so it says what packetdrill had in 2026.  Every call gets `userdata` first.  Those that
 * have a namesake in the C library return as that does: -1 and errno.
 *
 * Calls that a script expects to block come from a second thread, all others from the first. */
#ifndef WEIR_TESTS_PACKETDRILL_ABI_H
#define WEIR_TESTS_PACKETDRILL_ABI_H

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>

struct packetdrill_interface {
    void *userdata;
    void (*free)(void *userdata); /* the end */

    int (*socket)(void *, int domain, int type, int protocol);
    int (*bind)(void *, int fd, const struct sockaddr *addr, socklen_t len);
    int (*listen)(void *, int fd, int backlog);
    int (*accept)(void *, int fd, struct sockaddr *addr, socklen_t *len);
    int (*connect)(void *, int fd, const struct sockaddr *addr, socklen_t len);
    ssize_t (*read)(void *, int fd, void *data, size_t len);
    ssize_t (*readv)(void *, int fd, const struct iovec *iov, int count);
    ssize_t (*recv)(void *, int fd, void *data, size_t len, int flags);
    ssize_t (*recvfrom)(void *, int fd, void *data, size_t len, int flags, struct sockaddr *addr,
                        socklen_t *addr_len);
    ssize_t (*recvmsg)(void *, int fd, struct msghdr *msg, int flags);
    ssize_t (*write)(void *, int fd, const void *data, size_t len);
    ssize_t (*writev)(void *, int fd, const struct iovec *iov, int count);
    ssize_t (*send)(void *, int fd, const void *data, size_t len, int flags);
    ssize_t (*sendto)(void *, int fd, const void *data, size_t len, int flags,
                      const struct sockaddr *addr, socklen_t addr_len);
    ssize_t (*sendmsg)(void *, int fd, const struct msghdr *msg, int flags);
    int (*fcntl)(void *, int fd, int command, ...);
    int (*ioctl)(void *, int fd, unsigned long request, ...);
    int (*close)(void *, int fd);
    int (*shutdown)(void *, int fd, int how);
    int (*getsockopt)(void *, int fd, int level, int option, void *value, socklen_t *len);
    int (*setsockopt)(void *, int fd, int level, int option, const void *value, socklen_t len);
    int (*poll)(void *, struct pollfd *fds, nfds_t count, int timeout_ms);

    /* A packet for the stack, from its IP header on.  0 or -1. */
    int (*netdev_send)(void *, const void *packet, size_t len);

    /* The next packet of the stack, from its IP header on; *len is the room and then its length,
     * *usecs when it was sent, on the clock of gettimeofday.  0, or -1: packetdrill asks again, for
     * ever. */
    int (*netdev_receive)(void *, void *packet, size_t *len, long long *usecs);

    int (*usleep)(void *, useconds_t usecs);
    int (*gettimeofday)(void *, struct timeval *tv, struct timezone *tz);
    int (*epoll_create)(void *, int size);
    int (*epoll_ctl)(void *, int epoll, int op, int fd, struct epoll_event *event);
    int (*epoll_wait)(void *, int epoll, struct epoll_event *events, int max, int timeout_ms);
    int (*pipe)(void *, int fd[2]);
    int (*splice)(void *, int in, off64_t *in_at, int out, off64_t *out_at, size_t len,
                  unsigned flags);
};

#define PACKETDRILL_INIT "packetdrill_interface_init"
typedef void packetdrill_init_fn(const char *flags, struct packetdrill_interface *ifc);

#endif
