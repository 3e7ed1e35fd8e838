/* options.c - socket options, as far as the stack has what they set; else ENOPROTOOPT.
 *
 * They are kept in the socket and applied to its connection, at once or when there is one; sockets
 * that a listener hands out begin with the listener's.  SO_REUSEADDR asks for what holds anyway;
 * SO_SNDBUF is taken twice, as socket(7) has it, though we have no overhead to count in. */
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include "net/native/tcp_send.h"
#include "tests/packetdrill/object.h"

/* Which of Linux's states; those of their enum stand in no header beside netinet/tcp.h. */
static uint8_t info_state(const struct pd_sock *sock)
{
    static const uint8_t states[] = {
        [WEIR_TCP_CLOSED] = 7,      [WEIR_TCP_SYN_SENT] = 2,   [WEIR_TCP_SYN_RECEIVED] = 3,
        [WEIR_TCP_ESTABLISHED] = 1, [WEIR_TCP_FIN_WAIT_1] = 4, [WEIR_TCP_FIN_WAIT_2] = 5,
        [WEIR_TCP_CLOSE_WAIT] = 8,  [WEIR_TCP_CLOSING] = 11,   [WEIR_TCP_LAST_ACK] = 9,
        [WEIR_TCP_TIME_WAIT] = 6,
    };

    switch (sock->kind) {
    case PD_CONNECTED:
        return states[pd_tcp(sock)->state];
    case PD_LISTENING:
        return 10;
    case PD_CONNECTING:
        return 2;
    default:
        return 7;
    }
}

static void info_queue(struct tcp_info *info, const struct weir_tcp *tcp)
{
    for (const struct weir_pkt *pkt = tcp->tx_head; pkt && pkt != tcp->tx_next;
         pkt = pkt->buf.next ? weir_pkt_of(pkt->buf.next) : NULL) {
        info->tcpi_unacked++;
        info->tcpi_sacked += (pkt->seg.flags & WEIR_SEG_SACKED) != 0;
        info->tcpi_lost += (pkt->seg.flags & (WEIR_SEG_LOST | WEIR_SEG_RETRANS)) != 0;
        info->tcpi_retrans += (pkt->seg.flags & WEIR_SEG_RETRANS) != 0;
    }
    if (tcp->flags & WEIR_TCP_FIN_SENT)
        info->tcpi_unacked += weir_seq_le(tcp->snd_una, tcp->snd_end);
    for (const struct weir_pkt *pkt = tcp->tx_next; pkt;
         pkt = pkt->buf.next ? weir_pkt_of(pkt->buf.next) : NULL)
        info->tcpi_notsent_bytes += pkt->seg.len;
}

/* In Linux's units: segments and microseconds. */
static void info_fill(struct tcp_info *info, const struct weir_tcp *tcp)
{
    uint32_t mss = tcp->mss ? tcp->mss : 1;

    info->tcpi_ca_state = tcp->recovery == WEIR_TCP_LOSS       ? 4
                          : tcp->recovery == WEIR_TCP_RECOVERY ? 3
                                                               : 0;
    info->tcpi_retransmits = info->tcpi_backoff = tcp->retries;
    info->tcpi_options =
        (uint8_t)(((tcp->flags & WEIR_TCP_TS) ? 1 : 0) | ((tcp->flags & WEIR_TCP_SACK) ? 2 : 0) |
                  (tcp->snd_wscale || tcp->rcv_wscale ? 4 : 0));
    info->tcpi_snd_wscale = tcp->snd_wscale & 15u;
    info->tcpi_rcv_wscale = tcp->rcv_wscale & 15u;
    info->tcpi_rto = tcp->rto_us;
    info->tcpi_snd_mss = tcp->mss;
    info->tcpi_pmtu = tcp->path.mtu;
    info->tcpi_rtt = tcp->srtt_us;
    info->tcpi_rttvar = tcp->rttvar_us;
    info->tcpi_min_rtt = tcp->min_rtt_us;
    info->tcpi_snd_cwnd = tcp->cwnd / mss;
    info->tcpi_snd_ssthresh = tcp->ssthresh >= INT32_MAX ? INT32_MAX : tcp->ssthresh / mss;
    info->tcpi_snd_wnd = tcp->snd_wnd;
    info_queue(info, tcp);
}

static void info_get(const struct pd_sock *sock, struct tcp_info *info)
{
    memset(info, 0, sizeof *info);
    info->tcpi_state = info_state(sock);
    if (sock->kind == PD_CONNECTED)
        info_fill(info, pd_tcp(sock));
}

/* --- to the connection --- */

void pd_sock_apply(struct pd_sock *sock)
{
    struct weir_tcp *tcp;

    if (sock->kind != PD_CONNECTED)
        return;
    tcp = pd_tcp(sock);
    weir_nodelay(sock->conn, sock->nodelay);
    if (sock->sndbuf)
        tcp->snd_buf = sock->sndbuf;
    if (sock->cc >= 0 && !(tcp->flags & WEIR_TCP_CC))
        tcp->cc = (uint8_t)sock->cc;
    if (sock->keepalive)
        tcp->flags |= WEIR_TCP_KEEPALIVE;
    else
        tcp->flags &= ~(uint32_t)WEIR_TCP_KEEPALIVE;
    if (sock->keepalive && tcp->state != WEIR_TCP_CLOSED)
        weir_tcp_arm(tcp);
}

static int cc_find(const char *name, size_t len)
{
    for (int i = 0; i < (int)WEIR_COUNT(weir_tcp_ccs); i++)
        if (strnlen(name, len) == strlen(weir_tcp_ccs[i]->name) &&
            memcmp(name, weir_tcp_ccs[i]->name, strlen(weir_tcp_ccs[i]->name)) == 0)
            return i;
    return -1;
}

/* --- setting --- */

static int64_t set_socket(struct pd_sock *sock, int option, const void *value, socklen_t len)
{
    int number;

    if (option == SO_LINGER) {
        if (len < sizeof sock->linger)
            return -EINVAL;
        memcpy(&sock->linger, value, sizeof sock->linger);
        return 0;
    }
    if (len < sizeof number)
        return -EINVAL;
    memcpy(&number, value, sizeof number);
    switch (option) {
    case SO_REUSEADDR:
    case SO_REUSEPORT:
        return 0;
    case SO_KEEPALIVE:
        sock->keepalive = number != 0;
        break;
    case SO_SNDBUF:
        sock->sndbuf = 2 * (uint32_t)(number > 0 && number < INT32_MAX / 2 ? number : 1);
        break;
    default:
        return -ENOPROTOOPT;
    }
    pd_sock_apply(sock);
    return 0;
}

static int64_t set_tcp(struct pd_sock *sock, int option, const void *value, socklen_t len)
{
    int number;

    if (option == TCP_CONGESTION) {
        sock->cc = cc_find(value, len);
        pd_sock_apply(sock);
        return sock->cc < 0 ? -ENOENT : 0;
    }
    if (option != TCP_NODELAY)
        return -ENOPROTOOPT;
    if (len < sizeof number)
        return -EINVAL;
    memcpy(&number, value, sizeof number);
    sock->nodelay = number != 0;
    pd_sock_apply(sock);
    return 0;
}

static int call_setsockopt(void *userdata, int fd, int level, int option, const void *value,
                           socklen_t len)
{
    struct pd *pd = pd_enter(userdata);
    struct pd_sock *sock = pd_sock(pd, fd);
    int64_t result = sock ? -ENOPROTOOPT : -EBADF;

    if (sock)
        pd_sock_look(sock);
    if (sock && !value)
        result = -EFAULT;
    else if (sock && level == SOL_SOCKET)
        result = set_socket(sock, option, value, len);
    else if (sock && level == IPPROTO_TCP)
        result = set_tcp(sock, option, value, len);
    return (int)pd_leave(pd, result);
}

/* --- getting --- */

static int64_t get_bytes(void *value, socklen_t *len, const void *from, size_t size)
{
    if (*len > size)
        *len = (socklen_t)size;
    memcpy(value, from, *len);
    return 0;
}

static int64_t get_int(void *value, socklen_t *len, int number)
{
    return get_bytes(value, len, &number, sizeof number);
}

static int64_t get_error(struct pd_sock *sock, void *value, socklen_t *len)
{
    int error = sock->error;

    sock->error = 0;
    if (sock->kind == PD_CONNECTED && pd_tcp(sock)->error &&
        !(pd_tcp(sock)->flags & WEIR_TCP_TOLD)) {
        error = -pd_tcp(sock)->error;
        pd_tcp(sock)->flags |= WEIR_TCP_TOLD;
    }
    return get_int(value, len, error);
}

static int64_t get_meminfo(const struct weir_tcp *tcp, void *value, socklen_t *len)
{
    uint32_t info[SK_MEMINFO_VARS] = { [SK_MEMINFO_RMEM_ALLOC] = tcp->rcv_held,
                                       [SK_MEMINFO_RCVBUF] = tcp->rcv_buf,
                                       [SK_MEMINFO_WMEM_QUEUED] = tcp->snd_end - tcp->snd_una,
                                       [SK_MEMINFO_SNDBUF] = tcp->snd_buf };

    return get_bytes(value, len, info, sizeof info);
}

static int64_t get_socket(struct pd_sock *sock, int option, void *value, socklen_t *len)
{
    const struct weir_tcp *tcp = sock->kind == PD_CONNECTED ? pd_tcp(sock) : NULL;

    switch (option) {
    case SO_ERROR:
        return get_error(sock, value, len);
    case SO_KEEPALIVE:
        return get_int(value, len, sock->keepalive);
    case SO_LINGER:
        return get_bytes(value, len, &sock->linger, sizeof sock->linger);
    case SO_SNDBUF:
        return tcp || sock->sndbuf ? get_int(value, len, (int)(tcp ? tcp->snd_buf : sock->sndbuf))
                                   : -ENOPROTOOPT;
    case SO_RCVBUF:
        return tcp ? get_int(value, len, (int)tcp->rcv_buf) : -ENOPROTOOPT;
    case SO_MEMINFO:
        return tcp ? get_meminfo(tcp, value, len) : -ENOPROTOOPT;
    case SO_TYPE:
        return get_int(value, len, SOCK_STREAM);
    case SO_ACCEPTCONN:
        return get_int(value, len, sock->kind == PD_LISTENING);
    default:
        return -ENOPROTOOPT;
    }
}

static int64_t get_tcp(struct pd_sock *sock, int option, void *value, socklen_t *len)
{
    const struct weir_tcp *tcp = sock->kind == PD_CONNECTED ? pd_tcp(sock) : NULL;
    struct tcp_info info;
    socklen_t size;

    switch (option) {
    case TCP_NODELAY:
        return get_int(value, len, sock->nodelay);
    case TCP_MAXSEG:
        return tcp ? get_int(value, len, tcp->mss) : -ENOPROTOOPT;
    case TCP_CONGESTION:
        return tcp ? get_bytes(value, len, weir_tcp_ccs[tcp->cc]->name,
                               strlen(weir_tcp_ccs[tcp->cc]->name) + 1)
                   : -ENOPROTOOPT;
    case TCP_INFO:
        memset(value, 0, *len); /* packetdrill's has more fields than the headers' */
        size = *len;
        info_get(sock, &info);
        get_bytes(value, len, &info, sizeof info);
        *len = size;
        return 0;
    case TCP_CC_INFO:
        *len = 0; /* neither algorithm tells anything, as in Linux */
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

static int call_getsockopt(void *userdata, int fd, int level, int option, void *value,
                           socklen_t *len)
{
    struct pd *pd = pd_enter(userdata);
    struct pd_sock *sock = pd_sock(pd, fd);
    int64_t result = sock ? -ENOPROTOOPT : -EBADF;

    if (sock)
        pd_sock_look(sock);
    if (sock && (!value || !len))
        result = -EFAULT;
    else if (sock && level == SOL_SOCKET)
        result = get_socket(sock, option, value, len);
    else if (sock && level == IPPROTO_TCP)
        result = get_tcp(sock, option, value, len);
    return (int)pd_leave(pd, result);
}

void pd_options_init(struct packetdrill_interface *ifc)
{
    ifc->getsockopt = call_getsockopt;
    ifc->setsockopt = call_setsockopt;
}
