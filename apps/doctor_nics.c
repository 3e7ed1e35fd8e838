/* doctor_nics.c - every network interface: its driver, queues, RSS and offloads.
 *
 * Asked by ethtool's ioctls, which anybody may use for reading. */
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "doctor.h"

struct nic {
    int fd;
    char name[IFNAMSIZ];
    char text[400];
    size_t len;
};

static void nic_add(struct nic *nic, const char *format, ...) WEIR_PRINTF(2, 3);

static void nic_add(struct nic *nic, const char *format, ...)
{
    size_t room = sizeof nic->text - nic->len;
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(nic->text + nic->len, room, format, args);
    va_end(args);
    if (n > 0)
        nic->len += (size_t)n < room ? (size_t)n : room - 1;
}

static bool nic_ask(const struct nic *nic, void *question)
{
    struct ifreq request = { .ifr_data = question };

    memcpy(request.ifr_name, nic->name, sizeof request.ifr_name);
    return ioctl(nic->fd, SIOCETHTOOL, &request) == 0;
}

/* Entries of /sys/class/net/NAME/queues that begin with `kind`. */
static unsigned nic_queues(const struct nic *nic, const char *kind)
{
    char path[128];
    const struct dirent *entry;
    unsigned count = 0;
    DIR *dir;

    snprintf(path, sizeof path, "/sys/class/net/%s/queues", nic->name);
    dir = opendir(path);
    while (dir && (entry = readdir(dir)) != NULL)
        count += strncmp(entry->d_name, kind, strlen(kind)) == 0;
    if (dir)
        closedir(dir);
    return count;
}

/* What sysfs shows may be another network namespace's: then the driver is believed. */
static void nic_add_queues(struct nic *nic)
{
    struct ethtool_channels channels = { .cmd = ETHTOOL_GCHANNELS };
    unsigned rx = nic_queues(nic, "rx-"), tx = nic_queues(nic, "tx-"), most = 0;

    if (nic_ask(nic, &channels)) {
        most = channels.max_combined > channels.max_rx ? channels.max_combined : channels.max_rx;
        rx = rx ? rx : channels.combined_count + channels.rx_count;
        tx = tx ? tx : channels.combined_count + channels.tx_count;
    }
    nic_add(nic, ", queues rx %u tx %u", rx, tx);
    if (most > 0)
        nic_add(nic, " of %u", most);
}

static void nic_add_rss(struct nic *nic)
{
    struct ethtool_rxfh sizes = { .cmd = ETHTOOL_GRSSH };

    if (nic_ask(nic, &sizes) && sizes.key_size > 0)
        nic_add(nic, ", RSS key of %u bytes, table of %u", sizes.key_size, sizes.indir_size);
    else
        nic_add(nic, ", no RSS");
}

static void nic_add_offloads(struct nic *nic)
{
    static const struct {
        uint32_t cmd;
        const char *name;
    } offloads[] = {
        { ETHTOOL_GRXCSUM, "rx-checksum" },
        { ETHTOOL_GTXCSUM, "tx-checksum" },
        { ETHTOOL_GSG, "scatter" },
        { ETHTOOL_GTSO, "tso" },
        { ETHTOOL_GGRO, "gro" },
    };
    const char *before = ", ";

    for (size_t i = 0; i < sizeof offloads / sizeof offloads[0]; i++) {
        struct ethtool_value value = { .cmd = offloads[i].cmd };

        if (!nic_ask(nic, &value) || !value.data)
            continue;
        nic_add(nic, "%s%s", before, offloads[i].name);
        before = " ";
    }
}

static bool nic_is_veth(const char *driver)
{
    return strcmp(driver, "veth") == 0;
}

static void look_at_nic(struct doctor *doctor, int fd, const char *name)
{
    struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
    struct ethtool_value link = { .cmd = ETHTOOL_GLINK }, sums = { .cmd = ETHTOOL_GTXCSUM };
    struct nic nic = { .fd = fd };
    const char *cure = NULL;
    char what[32], command[128];

    snprintf(nic.name, sizeof nic.name, "%.*s", IFNAMSIZ - 1, name);
    nic_add(&nic, "%s", nic_ask(&nic, &info) ? info.driver : "driver unknown");
    if (nic_ask(&nic, &link))
        nic_add(&nic, ", link %s", link.data ? "up" : "down");
    nic_add_queues(&nic);
    nic_add_rss(&nic);
    nic_add_offloads(&nic);
    snprintf(what, sizeof what, "nic %s", nic.name);
    if (nic_is_veth(info.driver) && nic_ask(&nic, &sums) && sums.data) {
        snprintf(command, sizeof command,
                 "on the kernel's side of a veth pair that DPDK uses: ethtool -K %s tx off",
                 nic.name);
        cure = command;
    }
    doctor_say(doctor, cure ? DOCTOR_NOTE : DOCTOR_GOOD, 0, what, cure, "%s", nic.text);
}

void doctor_look_at_nics(struct doctor *doctor)
{
    struct if_nameindex *all = if_nameindex();
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    unsigned count = 0;

    for (const struct if_nameindex *at = all; fd >= 0 && at && at->if_index; at++)
        if (strcmp(at->if_name, "lo") != 0) {
            look_at_nic(doctor, fd, at->if_name);
            count++;
        }
    if (count == 0)
        doctor_say(doctor, DOCTOR_NOTE, 0, "nic", NULL, "none but the loopback");
    if (fd >= 0)
        close(fd);
    if (all)
        if_freenameindex(all);
}
