/* iou.h - what the kernel's io_uring has and liburing 2.3 does not know yet.
 *
 * Values from the kernel's include/uapi/linux/io_uring.h.  Under a prefix of our own, so that a
 * newer liburing does not clash. */
#ifndef WEIR_NET_KERNEL_IOU_H
#define WEIR_NET_KERNEL_IOU_H

enum {
    IOU_FEAT_NO_IOWAIT = 1 << 17, /* Linux 6.15 */
    IOU_ENTER_NO_IOWAIT = 1 << 7, /* waiting in the ring does not count as waiting for a disk */
};

#endif
