"""tagger.py - a VLAN-aware switch in a thread, for kernels without VLAN interfaces.

Between the kernel's end of weir's tap, where frames have a tag, and a tap of its own, where the
kernel has its addresses and frames have none.  Frames of weir's that have another tag than they
should, or none, go nowhere and are counted as strays.
"""
import contextlib
import fcntl
import os
import select
import socket
import struct
import threading

from peers import ip, kernel_side

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454ca, 2, 0x1000  # linux/if_tun.h
SOL_PACKET, PACKET_AUXDATA, PACKET_OUTGOING = 263, 8, 4  # linux/if_packet.h
SO_RCVBUFFORCE = 33  # asm-generic/socket.h
AUXDATA, VLAN_VALID = struct.Struct("=IIIHHHH"), 0x10
ETH_P_ALL, ETH_P_8021Q = 3, 0x8100


class Tagger:
    def __init__(self, name, tag):
        self.tag, self.expected, self.moved, self.strays, self.over = tag, tag, 0, 0, False
        ip(f"link set {name} arp off addrgenmode none up")
        self.tagged = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.tagged.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.tagged.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        self.tagged.bind((name, ETH_P_ALL))
        self.plain = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(self.plain, TUNSETIFF, struct.pack("16sH22x", b"wtag0", IFF_TAP | IFF_NO_PI))
        kernel_side("wtag0")
        ip("link set wtag0 txqueuelen 10000")
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.over:
            ready = select.select([self.tagged, self.plain], [], [], 0.1)[0]
            if self.tagged in ready:
                self.untag()
            if self.plain in ready:
                self.put_tag(os.read(self.plain, 65536))

    def untag(self):
        """The kernel has taken the tag off and says beside the frame what it was."""
        frame, beside, _, source = self.tagged.recvmsg(65536, 128)
        if source[2] == PACKET_OUTGOING:
            return
        status, _, _, _, _, tci, _ = AUXDATA.unpack(beside[0][2])
        if not status & VLAN_VALID or tci & 0xfff != self.expected:
            self.strays += 1
            return
        self.moved += 1
        os.write(self.plain, frame)

    def put_tag(self, frame):
        if self.tag is not None:
            frame = frame[:12] + struct.pack("!HH", ETH_P_8021Q, self.tag) + frame[12:]
        self.tagged.send(frame)

    def close(self):
        self.over = True
        self.thread.join()
        self.tagged.close()
        os.close(self.plain)


@contextlib.contextmanager
def tagged(name, tag):
    tagger = Tagger(name, tag)
    try:
        yield tagger
    finally:
        tagger.close()
