# SPDX-License-Identifier: BSD-3-Clause
# nbd-odd.py RISER: what libnbd can be talked into that no tool does. TAP.
import os
import subprocess
import sys
import threading

import nbd

riser = sys.argv[1]
SIZE = 64 << 20
number = 0


def connect(*options, uri="mem:64M", setup=lambda h: None):
    """A client of a server of its own, which was passed its socket."""
    h = nbd.NBD()
    setup(h)
    h.connect_systemd_socket_activation(["sh", "-c", 'exec "$@" >/dev/null', "sh", riser, "publish",
                                         uri, "nbd:", *options])
    return h


def refused(error, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except nbd.Error as e:
        assert e.errno == error, (e.errno, e.string)
        return
    raise AssertionError("not refused")


def with_contexts(h):
    h.add_meta_context(nbd.CONTEXT_BASE_ALLOCATION)


def extents(h, count, offset, flags=0):
    got = []
    h.block_status(count, offset, lambda name, at, entries, err: got.append((name, at, entries)),
                   flags)
    assert len(got) == 1 and got[0][:2] == (nbd.CONTEXT_BASE_ALLOCATION, offset), got
    entries = got[0][2]
    return list(zip(entries[::2], entries[1::2]))


def socket_activation():
    h = connect()
    assert h.get_size() == SIZE
    assert h.get_structured_replies_negotiated()
    assert h.can_multi_conn() and h.can_df() and h.can_cache() and h.can_fast_zero()
    h.shutdown()


def sparse_reads_in_chunks():
    h = connect()
    h.pwrite(b"x" * 65536, 131072)
    seen = []
    data = h.pread_structured(1 << 20, 0, lambda b, at, kind, err: seen.append((at, len(b), kind)))
    assert data == bytes(131072) + b"x" * 65536 + bytes((1 << 20) - 196608)
    assert [s[2] for s in seen] == [nbd.READ_HOLE, nbd.READ_DATA, nbd.READ_HOLE], seen
    seen.clear()
    whole = h.pread_structured(1 << 20, 0, lambda b, at, kind, err: seen.append((at, len(b), kind)),
                               nbd.CMD_FLAG_DF)
    assert whole == data and seen == [(0, 1 << 20, nbd.READ_DATA)], seen
    h.shutdown()


def block_status():
    h = connect(setup=with_contexts)
    assert h.can_meta_context(nbd.CONTEXT_BASE_ALLOCATION)
    assert extents(h, SIZE, 0) == [(SIZE, 3)]
    h.pwrite(b"x" * 8192, 65536)
    assert extents(h, SIZE, 0) == [(65536, 3), (8192, 0), (SIZE - 73728, 3)]
    assert extents(h, SIZE, 0, nbd.CMD_FLAG_REQ_ONE) == [(65536, 3)]
    h.trim(8192, 65536)
    assert extents(h, SIZE, 0) == [(SIZE, 3)]
    h.zero(8192, 65536, nbd.CMD_FLAG_NO_HOLE)
    assert extents(h, 8192, 65536) == [(8192, 0)]
    h.shutdown()


def contexts_are_listed():
    h = connect(setup=lambda h: h.set_opt_mode(True))
    got = []
    assert h.opt_list_meta_context(got.append) == 1 and got == ["base:allocation"]
    got.clear()
    h.add_meta_context("base:")
    assert h.opt_list_meta_context(got.append) == 1 and got == ["base:allocation"]
    h.clear_meta_contexts()
    h.add_meta_context("qemu:dirty-bitmap:x")
    assert h.opt_list_meta_context(got.append) == 0
    h.opt_go()
    assert not h.can_meta_context("base:allocation")
    h.shutdown()


def without_structured_replies():
    h = connect(setup=lambda h: h.set_request_structured_replies(False))
    assert not h.get_structured_replies_negotiated() and not h.can_df()
    h.pwrite(b"y" * 4096, 4096)
    assert h.pread(8192, 0) == bytes(4096) + b"y" * 4096
    h.shutdown()


def requests_that_are_wrong():
    h = connect()
    h.set_strict_mode(0)
    refused("EINVAL", h.pread, 512, SIZE)
    refused("EINVAL", h.pread, 100, 0)
    refused("EINVAL", h.pread, 512, 7)
    refused("ENOSPC", h.pwrite, bytes(1024), SIZE - 512)
    refused("ENOSPC", h.zero, 1024, SIZE - 512)
    refused("EINVAL", h.trim, 1024, SIZE - 512)
    refused("EINVAL", h.cache, 1024, SIZE - 512)
    refused("EINVAL", h.pread, 0, 0)
    refused("EINVAL", h.pread, 512, 0, nbd.CMD_FLAG_FAST_ZERO)
    refused("EINVAL", h.block_status, 512, 0, lambda *a: None)
    assert h.pread(512, 0) == bytes(512)
    h.shutdown()


def read_only():
    h = connect("--readonly")
    h.set_strict_mode(0)
    assert h.is_read_only() and not h.can_trim()
    refused("EPERM", h.pwrite, bytes(512), 0)
    refused("EPERM", h.zero, 512, 0)
    refused("EPERM", h.trim, 512, 0)
    h.cache(4096, 0)
    h.flush()
    h.shutdown()


def fast_zero():
    h = connect()
    h.pwrite(b"z" * 65536, 0)
    h.zero(65536, 0, nbd.CMD_FLAG_FAST_ZERO)
    assert h.pread(65536, 0) == bytes(65536)
    h.shutdown()
    # null: zeroes nothing, but fast; a controller without Write Zeroes cannot.
    h = connect(uri="null:1M")
    h.zero(65536, 0, nbd.CMD_FLAG_FAST_ZERO)
    h.shutdown()


def error_with_offset():
    h = connect(uri="model:nvme?size=64M&fault=status=0x281,opcode=read,lba=1600-1600,dnr")
    seen = []
    refused("EIO", h.pread_structured, 4 << 20, 0,
            lambda b, at, kind, err: seen.append((at, kind, err)))
    assert len(seen) == 1 and seen[0][1] == nbd.READ_ERROR, seen
    assert seen[0][0] <= 1600 * 512 < seen[0][0] + 262144, seen
    assert len(h.pread(512, 1601 * 512)) == 512
    h.shutdown()


def a_flush_covers_other_connections():
    """What one connection wrote another one sees, and a flush there is enough."""
    path = os.path.join(os.environ["scratch"], "disk")
    with open(path, "wb") as f:
        f.truncate(SIZE)
    sock = os.path.join(os.environ["scratch"], "sock")
    server = subprocess.Popen([riser, "publish", path, "nbd:", "--socket", sock],
                              stdout=subprocess.PIPE)
    server.stdout.readline()
    a, b = nbd.NBD(), nbd.NBD()
    for h in a, b:
        h.connect_unix(sock)
    a.pwrite(b"a" * 4096, 0)
    assert b.pread(4096, 0) == b"a" * 4096
    b.flush()
    with open(path, "rb") as f:
        assert f.read(4096) == b"a" * 4096
    a.shutdown()
    b.shutdown()
    server.terminate()
    assert server.wait() == 0


def many_commands_on_many_connections():
    sock = os.path.join(os.environ["scratch"], "many")
    server = subprocess.Popen([riser, "publish", "mem:64M", "nbd:", "--socket", sock],
                              stdout=subprocess.PIPE)
    server.stdout.readline()
    failed = []

    def work(n):
        try:
            h = nbd.NBD()
            h.connect_unix(sock)
            base = n << 20
            cookies, bufs = [], []
            for i in range(64):
                buf = nbd.Buffer.from_bytearray(bytearray([n * 16 + i % 16]) * 16384)
                cookies.append(h.aio_pwrite(buf, base + i * 16384))
                bufs.append(buf)
            for c in cookies:
                while not h.aio_command_completed(c):
                    h.poll(-1)
            want = b"".join(bytes(b.to_bytearray()) for b in bufs)
            assert h.pread(1 << 20, base) == want
            h.shutdown()
        except Exception as e:
            failed.append(e)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    server.terminate()
    assert server.wait() == 0 and not failed, failed


cases = [socket_activation, sparse_reads_in_chunks, block_status, contexts_are_listed,
         without_structured_replies, requests_that_are_wrong, read_only, fast_zero,
         error_with_offset, a_flush_covers_other_connections, many_commands_on_many_connections]
bad = 0
for i, case in enumerate(cases):
    try:
        case()
        print("ok", i + 1, "-", case.__name__)
    except Exception as e:
        bad = 1
        print("#", repr(e))
        print("not ok", i + 1, "-", case.__name__)
print("1..%d" % len(cases))
sys.exit(bad)
