/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The machine: which PCI functions there are, who uses them, and which driver has them. A function
 * is handed to vfio-pci and given back by plans: lists of small steps that can be shown before they
 * are run. Nothing here opens a device; riser/nvme.h and riser/blk.h do.
 */
#ifndef RISER_HOST_H
#define RISER_HOST_H

#include <riser/riser.h>

#ifdef __cplusplus
extern "C" {
#endif

struct riser_host;
struct riser_host_plan;

#define RISER_HOST_BDF 16 /* room for "0000:01:00.0" */

/**
 * struct riser_host_opts - how to look at the machine
 * @size: sizeof(struct riser_host_opts), so that later fields default to 0
 * @timeout_ms: how long the kernel may take for one step; 0: 10 seconds
 * @root: the folder with /sys, /proc, /dev, /run, /etc and /var; NULL: the machine's own. Tests
 *	put a tree of theirs there
 */
struct riser_host_opts {
	size_t size;
	uint32_t timeout_ms;
	const char *root;
};

/**
 * riser_host_new - look at this machine
 * @opts: options, or NULL for the defaults
 * @out: free it with riser_host_free(); one thread at a time may use it
 * @err: filled on failure; may be NULL
 *
 * Return: 0 or -ENOMEM.
 */
RISER_API int riser_host_new(const struct riser_host_opts *opts, struct riser_host **out,
			     struct riser_err *err);
/* @h may be NULL; its plans must have been freed. */
RISER_API void riser_host_free(struct riser_host *h);

/**
 * struct riser_host_pci - a PCI function
 * @bdf: its address, such as 0000:01:00.0
 * @kind: what riser knows it as: "nvme", "virtio-net", "virtio-blk"; else ""
 * @driver: the kernel's driver that has it, or ""
 * @driver_override: the only driver that may have it, or ""
 * @iommu_group: its group's number, or -1
 * @numa_node: -1 where the machine has none
 * @vendor: PCI vendor id
 * @device: PCI device id
 * @class_code: 24 bits
 */
struct riser_host_pci {
	char bdf[RISER_HOST_BDF];
	char kind[16];
	char driver[32];
	char driver_override[32];
	int iommu_group;
	int numa_node;
	uint32_t vendor, device, class_code;
};

/**
 * riser_host_pci_get - look at one function
 * @h: the machine
 * @bdf: its address; a domain of 0000 may be left out, "pci:" and "sysfs:" may stand before it
 * @out: filled
 * @err: filled on failure; may be NULL
 *
 * Return: 0; -EINVAL for what is no address; -ENODEV when there is no such function.
 */
RISER_API int riser_host_pci_get(struct riser_host *h, const char *bdf, struct riser_host_pci *out,
				 struct riser_err *err);

/* Flags of riser_host_pci_list(). */
#define RISER_HOST_ALL (1u << 0) /* functions of no known kind too */

/**
 * riser_host_pci_list - look at all functions
 * @h: the machine
 * @flags: RISER_HOST_ALL
 * @out: filled by address, up to @max
 * @max: room in @out
 *
 * Return: how many there are, which may be more than @max.
 */
RISER_API unsigned riser_host_pci_list(struct riser_host *h, uint32_t flags,
				       struct riser_host_pci *out, unsigned max);

/**
 * riser_host_group_list - look at the functions that share an IOMMU group
 * @h: the machine
 * @group: its number
 * @out: filled by address, up to @max
 * @max: room in @out
 *
 * Return: how many there are, which may be more than @max.
 */
RISER_API unsigned riser_host_group_list(struct riser_host *h, int group,
					 struct riser_host_pci *out, unsigned max);

/**
 * riser_host_is_in_the_way - whether a member keeps the rest of its group from being handed out
 * @p: the member
 *
 * Return: true where it has a driver that does DMA for the kernel.
 */
RISER_API bool riser_host_is_in_the_way(const struct riser_host_pci *p);

/**
 * riser_host_disks - the kernel's block devices behind a function, without their partitions
 * @h: the machine
 * @bdf: the function, as riser_host_pci_get() gave it
 * @buf: receives names such as "nvme0n1", separated by spaces
 * @len: of @buf
 *
 * A namespace with several paths is named by its head (nvme0n1), not by its paths.
 *
 * Return: how many there are.
 */
RISER_API unsigned riser_host_disks(struct riser_host *h, const char *bdf, char *buf, size_t len);

/**
 * enum riser_host_use_kind - how a function is in use
 * @RISER_HOST_MOUNTED: a file system on it is mounted
 * @RISER_HOST_ROOT: and it is the system's root
 * @RISER_HOST_SWAP: the kernel swaps there
 * @RISER_HOST_HELD: another block device (LVM, dm, md, bcache, loop) lies on it
 * @RISER_HOST_EXCLUSIVE: something of the kernel's or of a program's claimed it alone
 * @RISER_HOST_OPEN: a process has it open
 * @RISER_HOST_NET: its network interface is up
 * @RISER_HOST_UNSEEN: nobody can say: not all of it could be looked at
 */
enum riser_host_use_kind {
	RISER_HOST_MOUNTED,
	RISER_HOST_ROOT,
	RISER_HOST_SWAP,
	RISER_HOST_HELD,
	RISER_HOST_EXCLUSIVE,
	RISER_HOST_OPEN,
	RISER_HOST_NET,
	RISER_HOST_UNSEEN,
};

/**
 * struct riser_host_use - one use of a function
 * @kind: how
 * @pid: of @RISER_HOST_OPEN
 * @device: what of the function, such as "nvme0n1p2", or "nvme0n1p2, dm-0 (vg-root)" for what lies
 *	on what
 * @by: where it is mounted, which device holds it, which program has it open; else ""
 */
struct riser_host_use {
	enum riser_host_use_kind kind;
	int pid;
	char device[96];
	char by[128];
};

/**
 * riser_host_uses - who uses a function
 * @h: the machine
 * @bdf: the function, as riser_host_pci_get() gave it
 * @out: filled, up to @max
 * @max: room in @out
 *
 * Processes and claims of other users are seen by root only. A disk that nobody mounted, holds or
 * has open is in no use.
 *
 * Return: how many there are, which may be more than @max.
 */
RISER_API unsigned riser_host_uses(struct riser_host *h, const char *bdf,
				   struct riser_host_use *out, unsigned max);

/**
 * riser_host_use_text - a use as words, such as "nvme0n1p2 is mounted on /home"
 * @use: the use
 * @buf: receives them
 * @len: of @buf
 *
 * Return: @buf.
 */
RISER_API char *riser_host_use_text(const struct riser_host_use *use, char *buf, size_t len);

/**
 * struct riser_host_step - one step of a plan
 * @what: "load" a module, see that a function is "unused", "write" a value, "expect" a driver,
 *	"record" the former driver, "reset" the function, "own" a file, "create" or "remove" one,
 *	"link" one to another, "wait" for a function's block devices
 * @path: the file that is written, created, removed; the function of "unused", "expect" and
 *	"wait"; the module of "load"
 * @value: what is written there, or expected; may be ""
 */
struct riser_host_step {
	const char *what;
	const char *path;
	const char *value;
};

/**
 * struct riser_host_bind - whom functions are bound for
 * @size: sizeof(struct riser_host_bind), so that later fields default to 0
 * @set_owner: @uid and @gid hold
 * @uid: who shall own the group's file in /dev/vfio; UINT32_MAX: as it is
 * @gid: likewise the group, which may then open it too
 * @persist: the command line that does the same at the next start of the system, for systemd; or
 *	NULL. A percent sign in it is doubled
 */
struct riser_host_bind {
	size_t size;
	bool set_owner;
	uint32_t uid, gid;
	const char *persist;
};

/**
 * riser_host_plan_bind - hand functions to vfio-pci
 * @h: the machine
 * @bdf: their addresses
 * @n: how many
 * @opts: for whom, or NULL
 * @out: the plan, not run yet; free it with riser_host_plan_free()
 * @err: filled on failure; may be NULL
 *
 * Refused where a function is in use, has no IOMMU, or shares its group with others that a driver
 * of the kernel has and that are not in @bdf.
 *
 * Return: 0; -EINVAL, -ENODEV as riser_host_pci_get(); -EBUSY where one is in use or its group
 * would not be viable; -EOPNOTSUPP without an IOMMU; -ENOMEM.
 */
RISER_API int riser_host_plan_bind(struct riser_host *h, const char *const *bdf, unsigned n,
				   const struct riser_host_bind *opts, struct riser_host_plan **out,
				   struct riser_err *err);

/**
 * riser_host_plan_unbind - leave functions without a driver
 *
 * As riser_host_plan_bind(); a group does not matter here, nor an IOMMU.
 */
RISER_API int riser_host_plan_unbind(struct riser_host *h, const char *const *bdf, unsigned n,
				     struct riser_host_plan **out, struct riser_err *err);

/**
 * riser_host_plan_restore - give functions back to the drivers that they had
 *
 * As riser_host_plan_unbind(). Where no record is left of a former driver, the kernel's own choice
 * is taken. Refused with -EBUSY while a process has the function open.
 */
RISER_API int riser_host_plan_restore(struct riser_host *h, const char *const *bdf, unsigned n,
				      struct riser_host_plan **out, struct riser_err *err);

/**
 * riser_host_plan_step - what a plan will do
 * @p: the plan
 * @index: 0, 1, …
 *
 * Return: the step, which lives as long as the plan; NULL behind the last.
 */
RISER_API const struct riser_host_step *riser_host_plan_step(struct riser_host_plan *p,
							     unsigned index);

/**
 * riser_host_plan_run - do it
 * @p: the plan; it is run once
 * @err: filled on failure, with what was taken back; may be NULL
 *
 * Each step is verified. When one fails, what was done before is taken back, but for a plan that
 * restores: that one goes as far as it can.
 *
 * Return: 0; -EACCES for who may not; -ETIMEDOUT when the kernel did not do it in time; what a
 * write said.
 */
RISER_API int riser_host_plan_run(struct riser_host_plan *p, struct riser_err *err);
/* @p may be NULL. */
RISER_API void riser_host_plan_free(struct riser_host_plan *p);

/**
 * riser_host_restore - give one function back, planned and run
 * @h: the machine
 * @bdf: its address
 * @err: filled on failure; may be NULL
 *
 * Return: as riser_host_plan_restore() and riser_host_plan_run().
 */
RISER_API int riser_host_restore(struct riser_host *h, const char *bdf, struct riser_err *err);

#ifdef __cplusplus
}
#endif

#endif
