/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* How an I/O ended, in words. Here, because the words for a device's own status are its driver's.
 */
#include "base/util.h"
#include <riser/blk.h>
#include <riser/nvme.h>
#include <stdio.h>
#include <string.h>

char *riser_blk_status_text(int status, uint32_t raw, char *buf, size_t len)
{
	static const char *const words[] = {
		[RISER_BLK_NOTSUPP] = "the device does not do this",
		[RISER_BLK_TIMEOUT] = "not done in time, retries included",
		[RISER_BLK_NOSPC] = "no space below",
		[RISER_BLK_OFFLINE] = "the device is gone",
		[RISER_BLK_UNKNOWN_OUTCOME] = "old or new data may be there now",
	};
	const char *name = riser_blk_status_name((enum riser_blk_status)status);

	if (status < 0)
		snprintf(buf, len, "%s", strerror(-status));
	else if (raw)
		snprintf(buf, len, "%s (%#x, %s)", name, raw, riser_nvme_status_text(raw));
	else if ((size_t)status < array_len(words) && words[status])
		snprintf(buf, len, "%s (%s)", name, words[status]);
	else
		snprintf(buf, len, "%s", name);
	return buf;
}
