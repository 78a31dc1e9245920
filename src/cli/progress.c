/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/progress.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BAR_WIDTH 50
#define BAR_AFTER 500000000ull /* short runs show no bar */
#define BAR_EVERY 100000000ull

void progress_begin(struct cli *c, struct progress *p, uint64_t total)
{
	*p = (struct progress){ .fd = -1, .last = -1, .total = total };
	if (c->common.progress_fd != UINT32_MAX)
		p->fd = (int)c->common.progress_fd;
	else
		p->bar = isatty(STDERR_FILENO) && c->format == FORMAT_NORMAL;
	p->began = riser_now(c->r);
}

static void draw(struct progress *p, int percent)
{
	char bar[BAR_WIDTH + 1];

	memset(bar, ' ', BAR_WIDTH);
	memset(bar, '#', (size_t)percent * BAR_WIDTH / 100);
	bar[BAR_WIDTH] = 0;
	fprintf(stderr, "\r[%s] %3d %%", bar, percent);
	p->drawn = true;
}

void progress_show(struct cli *c, struct progress *p, uint64_t done)
{
	int percent;

	if (!p->total || (p->fd < 0 && !p->bar))
		return;
	percent = (int)((double)done * 100 / (double)p->total);
	if (percent == p->last)
		return;
	if (p->bar) {
		uint64_t now = riser_now(c->r);

		if (now - p->began < BAR_AFTER || now - p->shown < BAR_EVERY)
			return;
		p->shown = now;
		draw(p, percent);
	} else {
		/* Who asked for numbers and went away does not stop the copy. */
		dprintf(p->fd, "%d/100\n", percent);
	}
	p->last = percent;
}

void progress_end(struct progress *p)
{
	if (p->drawn)
		fprintf(stderr, "\r%*s\r", BAR_WIDTH + 9, "");
	p->drawn = false;
}
