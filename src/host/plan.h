/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * A plan: steps that are written down first, so that they can be shown, and run in order
 * afterwards. When one fails, each function that was touched gets back the driver and the override
 * that it had, by a plan of its own, and files that were made are removed.
 */
#ifndef HOST_PLAN_H
#define HOST_PLAN_H

#include "host/host.h"

#define PLAN_ANY "any driver but vfio-pci"

enum step_kind {
	STEP_LOAD,
	STEP_UNUSED,
	STEP_WRITE,
	STEP_EXPECT,
	STEP_RECORD,
	STEP_RESET,
	STEP_OWN,
	STEP_CREATE,
	STEP_REMOVE,
	STEP_LINK,
	STEP_WAIT,
};

/**
 * struct step - a step as others see it, and what is the plan's own
 * @kind: what to do
 * @dev: of which function
 * @optional: the plan goes on without it
 * @made: it made a file that was not there
 */
struct step {
	struct riser_host_step pub;
	enum step_kind kind;
	unsigned dev;
	bool optional, made;
};

/**
 * struct riser_host_plan - steps for some functions
 * @was: the functions as they were
 * @uid: who shall own what STEP_OWN is about; UINT32_MAX: as it is
 * @gid: likewise
 * @takes_back: a failure undoes what was done
 * @lost: memory ran out while it was written down
 */
struct riser_host_plan {
	struct riser_host *h;
	struct riser_host_pci *was;
	unsigned n;
	struct step *steps;
	unsigned nsteps;
	uint32_t uid, gid;
	bool takes_back, lost;
};

/* A plan without steps. Return: 0, or as riser_host_pci_get(). */
int plan_new(struct riser_host *h, const char *const *bdf, unsigned n, struct riser_host_plan **out,
	     struct riser_err *err);

/* The step's path and value, each made by one format. */
struct step *plan_add(struct riser_host_plan *p, enum step_kind kind, unsigned dev,
		      const char *value, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

/* bind.c: is nobody using it? Return: 0 or -EBUSY. */
int plan_check_unused(struct riser_host *h, const char *bdf, struct riser_err *err);
/* Steps that end with @driver ("": none; NULL: the kernel's choice) and @override. */
void plan_add_return(struct riser_host_plan *p, unsigned dev, const char *driver,
		     const char *override);

#endif
