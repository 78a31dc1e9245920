/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Interrupts as eventfds. Only vectors whose event changes are told to the kernel: setting one
 * anew takes its handler out for a moment, in which an interrupt can be lost.
 *
 * Where the kernel can add vectors to those in use (6.5 on, MSI-X), each is taken when somebody
 * wants it. Elsewhere all of them are taken at once, because more would mean to switch off those
 * in use; a system that has not so many says how many there are.
 */
#include "base/err.h"
#include "base/event.h"
#include "pci/access/vfio.h"
#include <errno.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One vector's event; -1 for none. @n vectors are made room for where there are none yet. */
static int trigger(struct vfio_dev *v, uint32_t index, unsigned start, unsigned n, int fd)
{
	struct vfio_irq_set *set;
	size_t len = sizeof(*set) + n * sizeof(int32_t);
	int32_t *fds;
	int rc;

	set = calloc(1, len);
	if (!set)
		return -ENOMEM;
	set->argsz = (uint32_t)len;
	set->flags = VFIO_IRQ_SET_ACTION_TRIGGER |
		     (n ? VFIO_IRQ_SET_DATA_EVENTFD : VFIO_IRQ_SET_DATA_NONE);
	set->index = index;
	set->start = start;
	set->count = n;
	fds = (int32_t *)(void *)set->data;
	for (unsigned i = 0; i < n; i++)
		fds[i] = fd;
	rc = v->sys->ioctl(v->fd, VFIO_DEVICE_SET_IRQS, set);
	free(set);
	return rc;
}

/* Return: how many interrupts an index has, as events. */
static unsigned count(struct vfio_dev *v, uint32_t index, bool *dynamic)
{
	struct vfio_irq_info info = { .argsz = sizeof(info), .index = index };

	if (v->sys->ioctl(v->fd, VFIO_DEVICE_GET_IRQ_INFO, &info) ||
	    !(info.flags & VFIO_IRQ_INFO_EVENTFD))
		return 0;
	*dynamic = !(info.flags & VFIO_IRQ_INFO_NORESIZE);
	return min_of(info.count, 2048u); /* MSI-X has no more */
}

int vfio_irq_init(struct vfio_dev *v, struct riser_err *err)
{
	bool unused;

	v->irq_index = VFIO_PCI_MSIX_IRQ_INDEX;
	v->nvectors = count(v, v->irq_index, &v->dynamic);
	if (!v->nvectors) {
		v->irq_index = VFIO_PCI_MSI_IRQ_INDEX;
		v->nvectors = count(v, v->irq_index, &v->dynamic);
	}
	v->fds = malloc((v->nvectors + 1) * sizeof(*v->fds));
	if (!v->fds)
		return err_set(err, -ENOMEM, "%s: no memory", v->bdf);
	memset(v->fds, 0xff, (v->nvectors + 1) * sizeof(*v->fds));
	if (!count(v, VFIO_PCI_REQ_IRQ_INDEX, &unused))
		return 0;
	v->req_fd = event_new();
	if (v->req_fd < 0)
		return err_set(err, v->req_fd, "%s: no event: %s", v->bdf, strerror(-v->req_fd));
	trigger(v, VFIO_PCI_REQ_IRQ_INDEX, 0, 1, v->req_fd);
	return 0;
}

/* The kernel's side of it ends with the function's descriptor. */
void vfio_irq_end(struct vfio_dev *v)
{
	if (v->req_fd >= 0)
		close(v->req_fd);
	free(v->fds);
}

unsigned vfio_irq_vectors(struct pci_dev *d)
{
	return container_of(d, struct vfio_dev, pci)->nvectors;
}

static void forget(struct vfio_dev *v)
{
	v->enabled = 0;
	memset(v->fds, 0xff, v->nvectors * sizeof(*v->fds));
}

static int disable(struct vfio_dev *v)
{
	int rc = v->enabled ? trigger(v, v->irq_index, 0, 0, -1) : 0;

	if (!rc)
		forget(v);
	return rc;
}

/* Room for @n vectors, none of which has an event. */
static int enable(struct vfio_dev *v, unsigned n)
{
	int rc;

	if (v->enabled >= n || (v->dynamic && v->enabled))
		return 0;
	rc = disable(v);
	if (!rc)
		rc = trigger(v, v->irq_index, 0, v->dynamic ? 1 : n, -1);
	if (rc > 0) { /* so many there are */
		v->nvectors = min_of((unsigned)rc, n - 1);
		rc = -ENOSPC;
	}
	if (!rc)
		v->enabled = n;
	return rc;
}

int vfio_irq_set(struct pci_dev *d, const int *fds, unsigned n)
{
	struct vfio_dev *v = container_of(d, struct vfio_dev, pci);
	int rc;

	pthread_mutex_lock(&v->lock);
	rc = n > v->nvectors ? -EINVAL : n ? enable(v, n) : disable(v);
	for (unsigned i = 0; !rc && n && i < v->nvectors; i++) {
		int fd = i < n ? fds[i] : -1;

		if (fd == v->fds[i])
			continue;
		rc = trigger(v, v->irq_index, i, 1, fd);
		if (!rc)
			v->fds[i] = fd;
	}
	pthread_mutex_unlock(&v->lock);
	return rc;
}
