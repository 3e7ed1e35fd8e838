/* test_dpdk.c - the DPDK module with several drivers, against the kernel where they reach it.
 *
 * EAL starts once per process, so each case is a process: this program with the case's name.  What
 * the machine does not permit is skipped with a reason on stderr. */
#include "net/dev_peer.h"

#define NO_HUGE "--no-huge -m 256 --no-pci --no-shconf "

enum { SKIPPED = 77 };

_Noreturn static void skip_because(const char *reason)
{
    fprintf(stderr, "skipped: %s\n", reason);
    _exit(SKIPPED);
}

static struct weir_dev *open_dpdk(const char *args, unsigned queues, uint16_t mtu)
{
    struct weir_dev *dev = NULL;
    char why[512] = "";

    if (weir_dpdk_open(&dev, args, queues, mtu, why, sizeof why) < 0)
        fail_msg("%s: %s", args, why);
    assert_true(dev->must_poll);
    assert_int_equal(dev->queues, queues);
    return dev;
}

static void expect_error(const char *args, unsigned queues, uint16_t mtu, const char *text)
{
    struct weir_dev *dev = NULL;
    char why[512] = "";
    int error = weir_dpdk_open(&dev, args, queues, mtu, why, sizeof why);

    fprintf(stderr, "%d: %s\n", error, why);
    assert_true(error < 0);
    if (!strstr(why, text) || strchr(why, '\n'))
        fail_msg("%s: \"%s\" has no \"%s\"", args, why, text);
}

/* Receives and sends on all queues, with packets of either kind. */
static void null_runs(void **state)
{
    struct weir_pkt *pkts[WEIR_DEV_BURST];
    struct peer p;

    (void)state;
    peer_open(&p, open_dpdk(NO_HUGE "--vdev=net_null0,size=100", 2, 0), 64);
    assert_string_equal(p.dev->name, "dpdk net_null0");
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(p.dev->ops->rx(p.queue[i], pkts, WEIR_DEV_BURST), WEIR_DEV_BURST);
        for (unsigned j = 0; j < WEIR_DEV_BURST; j++) {
            assert_int_equal(pkts[j]->buf.len, 100);
            assert_int_equal(pkts[j]->buf.refs, 1);
            assert_null(pkts[j]->frag);
        }
        p.dev->ops->tx(p.queue[i], pkts, WEIR_DEV_BURST);
        p.dev->ops->tx_flush(p.queue[i]);
        assert_int_equal(p.queue[i]->stats.tx_packets, WEIR_DEV_BURST);
        assert_int_equal(p.queue[i]->stats.tx_bytes, WEIR_DEV_BURST * 100);
        assert_int_equal(p.queue[i]->stats.rx_packets, WEIR_DEV_BURST);
    }
    peer_close(&p);
}

/* Its key and table can be set: so it is told to spread flows as we do. */
static void null_spreads_by_rss(void **state)
{
    static const uint8_t microsoft[4] = { 0x6d, 0x5a, 0x56, 0xda };
    struct weir_dev *dev = open_dpdk(NO_HUGE "--vdev=net_null0", 2, 0);

    (void)state;
    assert_int_equal(dev->caps & (WEIR_DEV_RSS | WEIR_DEV_STEERED),
                     WEIR_DEV_RSS | WEIR_DEV_STEERED);
    assert_memory_equal(dev->rss_key, microsoft, sizeof microsoft);
    weir_dev_close(dev);
}

/* Packets that are held are bytes that stay; the pool's bound is what arrives. */
static void null_held_packets_bound_what_arrives(void **state)
{
    static struct weir_pkt *held[32768];
    unsigned count = 0, got;
    struct peer p;

    (void)state;
    peer_open(&p, open_dpdk(NO_HUGE "--vdev=net_null0", 1, 0), 64);
    while ((got = p.dev->ops->rx(p.queue[0], held + count, WEIR_DEV_BURST)) > 0) {
        count += got;
        assert_true(count + WEIR_DEV_BURST <= WEIR_COUNT(held));
    }
    assert_true(count >= 2048);
    for (unsigned i = 0; i < count; i++)
        weir_pkt_free(held[i]);
    assert_true(p.dev->ops->rx(p.queue[0], held, WEIR_DEV_BURST) > 0);
    peer_close(&p);
}

static bool is_any(const struct peer *p, const struct weir_pkt *pkt, const void *arg)
{
    (void)p;
    (void)pkt;
    (void)arg;
    return true;
}

static struct weir_pkt *ring_packet(struct peer *p, const char *text)
{
    struct weir_pkt *pkt = weir_pkt_get(&p->pkts);

    assert_non_null(pkt);
    peer_add(pkt, text, strlen(text) + 1);
    return pkt;
}

/* What was received goes out as it is; what somebody else still reads is copied. */
static void ring_loops(void **state)
{
    static const char text[] = "once around the ring";
    struct weir_pkt *pkt;
    uint8_t *data;
    struct peer p;

    (void)state;
    peer_open(&p, open_dpdk(NO_HUGE "--vdev=net_ring0", 1, 0), 64);
    peer_send(&p, 0, ring_packet(&p, text));
    assert_int_equal(p.pkts.pool.live, 0); /* it was copied */
    pkt = peer_await(&p, is_any, NULL);
    data = pkt->buf.data;
    assert_memory_equal(data, text, sizeof text);

    weir_pkt_pull(pkt, 5);
    peer_send(&p, 0, pkt);
    pkt = peer_await(&p, is_any, NULL);
    assert_ptr_equal(pkt->buf.data, data + 5); /* it was not */
    assert_int_equal(pkt->buf.len, sizeof text - 5);

    pkt->buf.refs = 2;
    peer_send(&p, 0, pkt);
    assert_int_equal(pkt->buf.refs, 1);
    weir_pkt_free(pkt);
    pkt = peer_await(&p, is_any, NULL);
    assert_memory_equal(pkt->buf.data, text + 5, sizeof text - 5);
    weir_pkt_free(pkt);
    peer_close(&p);
}

/* A packet in pieces arrives in pieces here, and those are not for us. */
static void ring_drops_pieces(void **state)
{
    struct weir_pkt *pkt, *none, *last;
    struct peer p;

    (void)state;
    peer_open(&p, open_dpdk(NO_HUGE "--vdev=net_ring0", 1, 0), 64);
    pkt = last = ring_packet(&p, "a longer piece than Ethernet's header");
    last = last->frag = ring_packet(&p, "and more");
    peer_send(&p, 0, pkt);
    pkt = peer_await(&p, is_any, NULL); /* small pieces are one mbuf */
    assert_int_equal(pkt->buf.len, 38 + 9);
    assert_string_equal((char *)pkt->buf.data + 38, "and more");
    weir_pkt_free(pkt);
    pkt = weir_pkt_get(&p.pkts);
    peer_add(pkt, NULL, WEIR_PKT_ROOM);
    pkt->frag = weir_pkt_get(&p.pkts);
    peer_add(pkt->frag, NULL, WEIR_PKT_ROOM);
    peer_send(&p, 0, pkt);
    assert_int_equal(p.dev->ops->rx(p.queue[0], &none, 1), 0);
    assert_int_equal(p.queue[0]->stats.rx_dropped, 1);
    peer_send(&p, 0, ring_packet(&p, "short"));
    assert_int_equal(p.dev->ops->rx(p.queue[0], &none, 1), 0);
    assert_int_equal(p.queue[0]->stats.rx_dropped, 2);
    assert_int_equal(p.pkts.pool.live, 0);
    peer_close(&p);
}

/* Numbered, to see that nothing overtakes. */
static void ring_send_number(struct peer *p, uint64_t number)
{
    struct weir_pkt *pkt = weir_pkt_get(&p->pkts);

    assert_non_null(pkt);
    peer_add(pkt, "fourteen bytes", 14);
    peer_add(pkt, &number, sizeof number);
    peer_send(p, 0, pkt);
}

static void ring_expect_number(struct peer *p, uint64_t number)
{
    struct weir_pkt *pkt = peer_await(p, is_any, NULL);

    assert_memory_equal(pkt->buf.data + 14, &number, sizeof number);
    weir_pkt_free(pkt);
}

/* A ring that nobody empties fills up: what it does not take waits, as much as room() said before;
 * one more is dropped and counted. */
static void ring_fills_up(void **state)
{
    uint64_t sent = 0;
    unsigned room;
    struct peer p;

    (void)state;
    peer_open(&p, open_dpdk(NO_HUGE "--vdev=net_ring0", 1, 0), 64);
    assert_true(p.dev->ops->room(p.queue[0]) >= 512);
    while ((room = p.dev->ops->room(p.queue[0])) > 0) {
        for (; room > 0; room--)
            ring_send_number(&p, sent++);
        assert_int_equal(p.queue[0]->stats.tx_dropped, 0);
        assert_true(sent < 100000);
    }
    assert_true(p.queue[0]->stats.tx_packets < sent); /* some wait */
    ring_send_number(&p, sent);
    assert_int_equal(p.queue[0]->stats.tx_dropped, 1);
    for (uint64_t i = 0; i < sent; i++)
        ring_expect_number(&p, i);
    assert_int_equal(p.queue[0]->stats.tx_packets, sent);
    assert_int_equal(p.queue[0]->stats.tx_bytes, sent * 22);
    assert_int_equal(p.queue[0]->stats.tx_dropped, 1);
    assert_true(p.dev->ops->room(p.queue[0]) >= 512);
    peer_close(&p);
}

/* Many times around the places to wait in, with the ring full all the while. */
static void ring_stays_in_order(void **state)
{
    uint64_t sent = 0, got = 0;
    struct peer p;

    (void)state;
    peer_open(&p, open_dpdk(NO_HUGE "--vdev=net_ring0", 1, 0), 64);
    while (p.dev->ops->room(p.queue[0]) > 0)
        ring_send_number(&p, sent++);
    while (sent < 10000) {
        for (unsigned i = 0; i < 37; i++)
            ring_expect_number(&p, got++);
        while (p.dev->ops->room(p.queue[0]) > 0)
            ring_send_number(&p, sent++);
    }
    while (got < sent)
        ring_expect_number(&p, got++);
    assert_int_equal(p.queue[0]->stats.tx_dropped, 0);
    peer_close(&p);
}

/* What waits when the queue is closed is dropped, and its mbufs are there for the next one. */
static void ring_closes_while_full(void **state)
{
    struct peer p;

    (void)state;
    for (unsigned round = 0; round < 4; round++) {
        unsigned sent = 0;

        peer_open(&p, open_dpdk(NO_HUGE "--vdev=net_ring0", 1, 0), 64);
        while (p.dev->ops->room(p.queue[0]) > 0)
            ring_send_number(&p, sent++);
        assert_true(sent >= 512);
        peer_close(&p);
    }
}

/* --- with the kernel --- */

static void in_a_namespace(void)
{
    if (!peer_unshare())
        skip_because("network namespaces are not permitted");
    if (peer_command("ip link set lo up") != 0)
        skip_because("ip(8) is not there: iproute2");
}

/* From every queue; checksums by the device where it can. */
static void talk(struct peer *p)
{
    bool device = p->dev->caps & WEIR_DEV_TX_L4_CSUM;
    char text[64];

    peer_meet(p);
    for (unsigned queue = 0; queue < p->dev->queues; queue++)
        for (int v6 = 0; v6 <= 1; v6++) {
            int fd = peer_socket(v6, SOCK_DGRAM);

            snprintf(text, sizeof text, "from queue %u by IPv%d", queue, v6 ? 6 : 4);
            peer_udp_arrives(p, queue, v6, fd, text, device);
            peer_ping(p, queue, (uint16_t)(2 * queue + (unsigned)v6), 56);
            peer_ping(p, queue, (uint16_t)(100 + 2 * queue + (unsigned)v6), 1472);
            close(fd);
        }
}

/* The tap's driver cuts packets, though not to the usual size, which the device does not promise
 * therefore. */
static void bulk(struct peer *p)
{
    static uint8_t data[30000];
    struct peer_tcp tcp;

    peer_connect(p, &tcp, true);
    peer_fill(data, sizeof data);
    peer_send_tso(p, &tcp, data, sizeof data, 1400, 1400);
    peer_expect(tcp.fd, data, sizeof data);
    close(tcp.fd);
}

static void address(const char *name)
{
    char command[256];

    snprintf(command, sizeof command,
             "ip addr replace " PEER_HOST "/24 dev %s && ip addr replace " PEER_HOST6
             "/64 dev %s nodad && ip link set %s up",
             name, name, name);
    assert_int_equal(peer_command(command), 0);
}

#define TAP NO_HUGE "--vdev=net_tap0,iface=weirtap0"

static void tap_talks(void **state)
{
    struct peer p;

    (void)state;
    if (access("/dev/net/tun", R_OK | W_OK) < 0)
        skip_because("/dev/net/tun is not there");
    in_a_namespace();
    for (int round = 0; round < 2; round++) { /* opened, closed, opened again */
        peer_open(&p, open_dpdk(TAP, 2, 0), 256);
        assert_true(p.dev->caps & WEIR_DEV_TX_L4_CSUM);
        address("weirtap0");
        talk(&p);
        assert_memory_not_equal(p.dev->mac, p.host_mac, 6);
        assert_false(p.dev->caps & WEIR_DEV_TX_TSO);
        bulk(&p);
        peer_close(&p);
    }
}

/* weir-a is ours; weir-b with an address the kernel's.  Offloads of the latter would reach us as
 * unfinished checksums. */
static void veth(void)
{
    in_a_namespace();
    if (peer_command("ip link add weir-a numrxqueues 2 numtxqueues 2 type veth "
                     "peer name weir-b numrxqueues 2 numtxqueues 2") != 0)
        skip_because("veth is not there");
    assert_int_equal(peer_command("ip link set weir-a arp off up"), 0);
    peer_write("/proc/sys/net/ipv6/conf/weir-a/disable_ipv6", "1");
    address("weir-b");
    if (peer_command("ethtool -K weir-b tx off >/dev/null") != 0)
        skip_because("ethtool(8) is not there");
}

/* IPv6 answers go to an address nobody has asked for: tells the kernel where it is. */
static void veth_neighbour(const struct weir_dev *dev)
{
    char command[256];
    const uint8_t *mac = dev->mac;

    snprintf(command, sizeof command,
             "ip neigh replace " PEER_SELF6 " lladdr %02x:%02x:%02x:%02x:%02x:%02x dev weir-b",
             mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
    assert_int_equal(peer_command(command), 0);
}

static void talk_by_veth(const char *args, unsigned queues)
{
    struct peer p;

    peer_open(&p, open_dpdk(args, queues, 0), 256);
    veth_neighbour(p.dev);
    talk(&p);
    peer_close(&p);
}

static void af_packet_talks(void **state)
{
    (void)state;
    veth();
    talk_by_veth(NO_HUGE "--vdev=net_af_packet0,iface=weir-a,qpairs=2,framecnt=4096,framesz=2048,"
                         "blocksz=65536",
                 2);
}

static void af_xdp_talks(void **state)
{
    (void)state;
    veth();
    talk_by_veth(NO_HUGE "--vdev=net_af_xdp0,iface=weir-a,start_queue=0,queue_count=1 "
                         "--vdev=net_af_xdp1,iface=weir-a,start_queue=1,queue_count=1",
                 2);
}

/* --- memory --- */

static long huge_pages(const char *what)
{
    char line[128];
    long value = -1;
    FILE *file = fopen("/proc/meminfo", "r");

    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, what, strlen(what)) == 0)
            value = strtol(line + strlen(what), NULL, 10);
    if (file)
        fclose(file);
    return value;
}

#define HUGE "--in-memory --no-pci --iova-mode=va -m 64 "

static void huge_pages_serve(void **state)
{
    long before = huge_pages("HugePages_Total:"), free_pages;
    struct weir_pkt *pkt;
    struct peer p;
    char text[32];

    (void)state;
    snprintf(text, sizeof text, "%ld", before + 64);
    if (huge_pages("HugePages_Free:") < 64)
        peer_write("/proc/sys/vm/nr_hugepages", text);
    free_pages = huge_pages("HugePages_Free:");
    if (free_pages < 64 || huge_pages("Hugepagesize:") != 2048) {
        snprintf(text, sizeof text, "%ld", before);
        peer_write("/proc/sys/vm/nr_hugepages", text);
        skip_because("no hugepages, and it is not permitted to make some");
    }
    peer_open(&p, open_dpdk(HUGE "--vdev=net_ring0", 1, 0), 64);
    assert_true(huge_pages("HugePages_Free:") < free_pages);
    peer_send(&p, 0, ring_packet(&p, "through huge pages"));
    pkt = peer_await(&p, is_any, NULL);
    assert_string_equal((char *)pkt->buf.data, "through huge pages");
    weir_pkt_free(pkt);
    peer_close(&p);
    snprintf(text, sizeof text, "%ld", before);
    peer_write("/proc/sys/vm/nr_hugepages", text);
}

static void missing_huge_pages_are_said(void **state)
{
    (void)state;
    if (huge_pages("HugePages_Free:") > 0)
        skip_because("there are hugepages");
    expect_error("--no-pci --in-memory --vdev=net_null0", 1, 0, "vm.nr_hugepages");
}

static void little_memory_is_said(void **state)
{
    (void)state;
    expect_error("--no-huge -m 8 --no-pci --no-shconf --vdev=net_null0", 1, 0, "-m 512");
}

/* --- what is wrong --- */

static void bad_argument_is_said(void **state)
{
    (void)state;
    expect_error(NO_HUGE "--no-such-thing", 1, 0, "EAL has no such argument");
}

static void missing_value_is_said(void **state)
{
    (void)state;
    expect_error("--no-huge --no-pci --vdev", 1, 0, "value is missing");
}

static void help_is_not_for_here(void **state)
{
    (void)state;
    expect_error(NO_HUGE "--help", 1, 0, "'--help' makes no sense");
}

static void unknown_driver_is_said(void **state)
{
    (void)state;
    expect_error(NO_HUGE "--vdev=net_nonsense0", 1, 0, "net_af_packet0");
}

static void missing_interface_is_said(void **state)
{
    (void)state;
    expect_error(NO_HUGE "--vdev=net_af_packet0,iface=nowhere7", 1, 0, "No such device");
}

static void one_missing_interface_is_said(void **state)
{
    (void)state;
    expect_error(NO_HUGE "--vdev=net_null0 --vdev=net_af_packet0,iface=nowhere7", 1, 0,
                 "look for the right name");
}

static void bad_driver_argument_is_said(void **state)
{
    (void)state;
    expect_error(NO_HUGE "--vdev=net_null0,nonsense=1", 1, 0, "net_null0");
}

static void missing_cpu_is_said(void **state)
{
    (void)state;
    expect_error(NO_HUGE "-l 127", 1, 0, "leave -l away");
}

static void missing_port_is_said(void **state)
{
    (void)state;
    expect_error("--no-huge -m 256 --no-pci --no-shconf", 1, 0, "has found no port");
}

static void few_queues_are_said(void **state)
{
    (void)state;
    in_a_namespace();
    expect_error(NO_HUGE "--vdev=net_af_packet0,iface=lo", 2, 0, "--shards 1");
}

static void many_ports_are_said(void **state)
{
    (void)state;
    expect_error(NO_HUGE "--vdev=net_null0 --vdev=net_null1 --vdev=net_null2", 2, 0,
                 "3 ports for 2 shards");
}

static void open_as_nobody(void *arg)
{
    struct weir_dev *dev;
    char why[512] = "";

    if (setgid(65534) < 0 || setuid(65534) < 0)
        _exit(3);
    weir_dpdk_open(&dev, arg, 1, 0, why, sizeof why);
    fprintf(stderr, "%s\n", why);
}

static void missing_permission_is_said(void **state)
{
    static char args[] = NO_HUGE "--vdev=net_af_packet0,iface=lo";
    char said[1024];
    int status = child_run(open_as_nobody, args, said, sizeof said);

    (void)state;
    if (WEXITSTATUS(status) == 3)
        skip_because("not root: cannot become nobody");
    fprintf(stderr, "%s", said);
    if (!strstr(said, "CAP_NET_RAW"))
        fail_msg("%s", said);
}

static void other_arguments_are_said(void **state)
{
    struct weir_dev *dev = open_dpdk(NO_HUGE "--vdev=net_null0", 1, 0);
    struct peer p;

    (void)state;
    expect_error(NO_HUGE "--vdev=net_null0", 1, 0, "one device per program");
    weir_dev_close(dev);
    expect_error(NO_HUGE "--vdev=net_null1", 1, 0, "once per program");
    peer_open(&p, open_dpdk(NO_HUGE "--vdev=net_null0", 2, 0), 64); /* more queues than before */
    weir_pkt_free(peer_await(&p, is_any, NULL));
    peer_close(&p);
}

static void mtu_is_set(void **state)
{
    struct weir_dev *dev;

    (void)state;
    in_a_namespace();
    dev = open_dpdk(TAP, 1, 1400);
    assert_int_equal(dev->mtu, 1400);
    weir_dev_close(dev);
    dev = open_dpdk(TAP, 1, 0);
    assert_int_equal(dev->mtu, 1500);
    weir_dev_close(dev);
    expect_error(TAP, 1, 60, "the MTU can be");
}

static void missing_module_is_said(void **state)
{
    (void)state;
    setenv("WEIR_DPDK_MODULE", "/nonexistent/weir-dpdk.so", 1);
    expect_error(NO_HUGE, 1, 0, "built without DPDK: install libdpdk-dev and build again");
}

static void other_module_is_said(void **state)
{
    (void)state;
    setenv("WEIR_DPDK_MODULE", "/proc/self/exe", 1);
    expect_error(NO_HUGE, 1, 0, "module");
}

/* --- the cases, each a process of its own --- */

static const struct dpdk_case {
    const char *name;
    CMUnitTestFunction run;
} cases[] = {
#define CASE(name)  \
    {               \
#name, name \
    }
    CASE(null_runs),
    CASE(null_spreads_by_rss),
    CASE(null_held_packets_bound_what_arrives),
    CASE(ring_loops),
    CASE(ring_drops_pieces),
    CASE(ring_fills_up),
    CASE(ring_stays_in_order),
    CASE(ring_closes_while_full),
    CASE(tap_talks),
    CASE(af_packet_talks),
    CASE(af_xdp_talks),
    CASE(huge_pages_serve),
    CASE(missing_huge_pages_are_said),
    CASE(little_memory_is_said),
    CASE(bad_argument_is_said),
    CASE(missing_value_is_said),
    CASE(help_is_not_for_here),
    CASE(unknown_driver_is_said),
    CASE(missing_interface_is_said),
    CASE(one_missing_interface_is_said),
    CASE(bad_driver_argument_is_said),
    CASE(missing_cpu_is_said),
    CASE(missing_port_is_said),
    CASE(few_queues_are_said),
    CASE(many_ports_are_said),
    CASE(missing_permission_is_said),
    CASE(other_arguments_are_said),
    CASE(mtu_is_set),
    CASE(missing_module_is_said),
    CASE(other_module_is_said),
#undef CASE
};

static int run_here(const char *name)
{
    for (size_t i = 0; i < WEIR_COUNT(cases); i++)
        if (strcmp(cases[i].name, name) == 0) {
            const struct CMUnitTest test[] = { { cases[i].name, cases[i].run, NULL, NULL, NULL } };

            return cmocka_run_group_tests(test, NULL, NULL);
        }
    return 1;
}

static void run_apart(void **state)
{
    const struct dpdk_case *which = *state;
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(STDERR_FILENO, STDOUT_FILENO);
        setenv("CMOCKA_MESSAGE_OUTPUT", "STDOUT", 1);
        setenv("ASAN_OPTIONS", "detect_leaks=0", 1); /* DPDK keeps what it has until the end */
        execl("/proc/self/exe", "test_dpdk", which->name, NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == SKIPPED)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

static bool module_is_there(void)
{
    struct weir_dev *dev;
    char why[512] = "";
    int status;
    pid_t pid = fork();

    if (pid == 0) { /* '--' stops it before EAL starts */
        weir_dpdk_open(&dev, "--", 1, 0, why, sizeof why);
        _exit(strstr(why, "makes no sense") ? 0 : 1);
    }
    return waitpid(pid, &status, 0) == pid && status == 0;
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[WEIR_COUNT(cases)];

    if (argc > 1)
        return run_here(argv[1]);
    if (!module_is_there())
        return peer_skip("built without DPDK: libdpdk-dev");
    for (size_t i = 0; i < WEIR_COUNT(cases); i++)
        tests[i] = (struct CMUnitTest){ cases[i].name, run_apart, NULL, NULL,
                                        (void *)(uintptr_t)&cases[i] };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
