#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""machine.py TREE: a machine of PCI functions below TREE, and the part of a kernel that reacts.

/sys, /proc, /dev and /run as Linux shows them. What a kernel acts on are FIFOs: unbind of each
driver, drivers_probe, and TREE/ctl, which takes "load MODULE" (see the fake modprobe) and
"deaf FUNCTION DRIVER" (the driver will not take that function). "ready" is printed once all is
there; it runs until it is killed.
"""
import os
import pathlib
import select
import shutil
import sys

tree = pathlib.Path(sys.argv[1])
sysfs = tree / "sys"
pci = sysfs / "bus/pci"
NVME, NET, SOUND, BRIDGE = 0x010802, 0x020000, 0x040300, 0x060400
DRIVER = {NVME: "nvme", NET: "virtio-pci", SOUND: "snd_hda_intel", BRIDGE: "pcieport"}
# address: class, vendor, device, group, block devices
FUNCTIONS = {
    "0000:00:01.0": (BRIDGE, 0x8086, 0x1901, 9, []),
    "0000:01:00.0": (NVME, 0x144d, 0xa808, 7, ["nvme0n1", "nvme0n1p1", "nvme0n1p2"]),
    "0000:02:00.0": (NVME, 0x1b36, 0x0010, 8, ["nvme1c1n1"]),
    "0000:03:00.0": (NVME, 0x1b36, 0x0010, 9, ["nvme2n1"]),
    "0000:03:00.1": (SOUND, 0x8086, 0xa170, 9, []),
    "0000:04:00.0": (NET, 0x1af4, 0x1041, 10, []),
    "0000:05:00.0": (NVME, 0x1b36, 0x0010, None, ["nvme3n1"]),
}
fifos = {}
deaf = set()


def put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def link(path, to):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(os.path.relpath(to, path.parent))


def fifo(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)
    fifos[os.open(path, os.O_RDWR | os.O_NONBLOCK)] = path


def home(bdf):
    return sysfs / "devices/pci0000:00" / bdf


def block(at, name, number):
    """A block device or a partition at a place of sysfs."""
    folder = at / name
    put(folder / "dev", f"{number}\n")
    (folder / "holders").mkdir()
    if "p" in name[4:]:
        put(folder / "partition", name.split("p")[-1])
    link(sysfs / "class/block" / name, folder)


def come(bdf):
    """Its driver made its block devices."""
    index = list(FUNCTIONS).index(bdf)
    for i, name in enumerate(FUNCTIONS[bdf][4]):
        ctrl = home(bdf) / "nvme" / f"nvme{index - 1}"
        disk = name.split("p")[0]
        block(ctrl / disk if disk != name else ctrl, name, f"259:{index * 8 + i}")


def go(bdf):
    for name in FUNCTIONS[bdf][4]:
        (sysfs / "class/block" / name).unlink()
    shutil.rmtree(home(bdf) / "nvme", ignore_errors=True)


def load(driver):
    if (pci / "drivers" / driver).exists():
        return
    if driver != "vfio_iommu_type1":
        fifo(pci / "drivers" / driver / "unbind")
    (sysfs / "module" / driver.replace("-", "_")).mkdir(parents=True, exist_ok=True)


def unbind(bdf):
    driver = home(bdf) / "driver"
    if not driver.is_symlink():
        return
    name = driver.resolve().name
    driver.unlink()
    if name == "nvme":
        go(bdf)
    if name == "vfio-pci" and FUNCTIONS[bdf][3] is not None:
        (tree / f"dev/vfio/{FUNCTIONS[bdf][3]}").unlink(missing_ok=True)


def probe(bdf):
    override = (home(bdf) / "driver_override").read_text().strip()
    name = DRIVER[FUNCTIONS[bdf][0]] if override in ("", "(null)") else override
    if (home(bdf) / "driver").is_symlink() or not (pci / "drivers" / name).exists():
        return
    if (bdf, name) in deaf:
        return
    link(home(bdf) / "driver", pci / "drivers" / name)
    if name == "nvme":
        come(bdf)
    if name == "vfio-pci":
        put(tree / f"dev/vfio/{FUNCTIONS[bdf][3]}", "")


def build():
    for driver in DRIVER.values():
        load(driver)
    for bdf, (code, vendor, device, group, _) in FUNCTIONS.items():
        put(home(bdf) / "class", f"{code:#08x}\n")
        put(home(bdf) / "vendor", f"{vendor:#06x}\n")
        put(home(bdf) / "device", f"{device:#06x}\n")
        put(home(bdf) / "numa_node", "-1\n")
        put(home(bdf) / "driver_override", "(null)\n")
        put(home(bdf) / "reset", "")
        put(home(bdf) / "modalias", f"pci:v{vendor:08X}d{device:08X}\n")
        link(pci / "devices" / bdf, home(bdf))
        if group is not None:
            groups = sysfs / "kernel/iommu_groups" / str(group)
            (groups / "devices").mkdir(parents=True, exist_ok=True)
            link(home(bdf) / "iommu_group", groups)
            link(groups / "devices" / bdf, home(bdf))
        probe(bdf)
    heads = sysfs / "devices/virtual/nvme-subsystem/nvme-subsys1"
    block(heads, "nvme1n1", "259:100")
    block(heads / "nvme1n1", "nvme1n1p1", "259:101")
    block(sysfs / "devices/virtual/block", "dm-0", "253:0")
    put(sysfs / "class/block/dm-0/dm/name", "vg-root\n")
    put(home("0000:04:00.0") / "virtio1/net/eth0/flags", "0x1002\n")
    link(sysfs / "class/net/eth0", home("0000:04:00.0") / "virtio1/net/eth0")
    put(tree / "proc/self/mountinfo", "22 1 0:20 / / rw - tmpfs none rw\n")
    put(tree / "proc/swaps", "Filename Type Size Used Priority\n")
    put(tree / "proc/4242/comm", "qemu\n")
    (tree / "proc/4242/fd").mkdir()
    (tree / "dev/vfio").mkdir(parents=True)
    (tree / "run/systemd/system").mkdir(parents=True)
    fifo(pci / "drivers_probe")
    fifo(tree / "ctl")


def react(path, word):
    if path.name == "unbind":
        unbind(word[0])
    elif path.name == "drivers_probe":
        probe(word[0])
    elif word[0] == "load":
        load(word[1])
    elif word[0] == "deaf":
        deaf.add((word[1], word[2]))


build()
print("ready", flush=True)
while True:
    for fd in select.select(list(fifos), [], [])[0]:
        text = os.read(fd, 4096).decode()
        for line in text.splitlines():
            react(fifos[fd], line.split())
