/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/nvme/nvme.h"

struct args {
	uint32_t nsid;
	const char *uri;
	struct riser_nvme_smart log;
};

#define F(member, how)          FIELD(riser_nvme_smart, member, how)
#define F_AS(text, member, how) FIELD_AS(text, riser_nvme_smart, member, how)

static const struct field fields[] = {
	F(critical_warning, HEX),
	F(temperature, KELVIN),
	F(avail_spare, DEC),
	F(spare_thresh, DEC),
	F(percent_used, DEC),
	F_AS("endurance_grp_critical_warning_summary", endu_grp_summary, HEX),
	F(data_units_read, DEC),
	F(data_units_written, DEC),
	F_AS("host_read_commands", host_reads, DEC),
	F_AS("host_write_commands", host_writes, DEC),
	F_AS("controller_busy_time", ctrl_busy_time, DEC),
	F(power_cycles, DEC),
	F(power_on_hours, DEC),
	F(unsafe_shutdowns, DEC),
	F(media_errors, DEC),
	F(num_err_log_entries, DEC),
	F(warning_temp_time, DEC),
	F_AS("critical_comp_time", critical_comp_time, DEC),
	F(thm_temp1_trans_count, DEC),
	F(thm_temp2_trans_count, DEC),
	F(thm_temp1_total_time, DEC),
	F(thm_temp2_total_time, DEC),
	{ 0 },
};

/* A sensor that isn't there reports 0. */
static void print_text(const void *what)
{
	const struct args *a = what;
	const struct riser_nvme_smart *s = &a->log;

	printf("Smart Log for NVME device:%s namespace-id:%x\n", a->uri, a->nsid);
	fields_print(fields, s, 40);
	for (unsigned i = 0; i < array_len(s->temp_sensor); i++)
		if (le16(s->temp_sensor[i]))
			printf("temperature_sensor_%-21u: %d °C (%u K)\n", i + 1,
			       le16(s->temp_sensor[i]) - 273, le16(s->temp_sensor[i]));
}

static void print_json(struct json *j, const void *what)
{
	const struct riser_nvme_smart *s = &((const struct args *)what)->log;

	fields_json(j, fields, s);
	for (unsigned i = 0; i < array_len(s->temp_sensor); i++) {
		char key[24];

		snprintf(key, sizeof(key), "temperature_sensor_%u", i + 1);
		if (le16(s->temp_sensor[i]))
			json_u64(j, key, le16(s->temp_sensor[i]));
	}
}

static int act(struct nvme_dev *n, void *args)
{
	static const struct view view = { print_text, print_json };
	struct args *a = args;
	int rc = nvme_get_log(n, RISER_NVME_LOG_SMART, a->nsid, &a->log, sizeof(a->log));

	a->uri = n->uri;
	return rc ? rc : nvme_show(n->c, &view, a, &a->log, sizeof(a->log));
}

static int run(struct cli *c)
{
	struct args a = { .nsid = RISER_NVME_NSID_ALL };

	return nvme_run(c, &a, 0, NULL, act);
}

static const struct opt opts[] = {
	OPT_NSID("default: the controller"),
	{ 0 },
};

const struct cmd cmd_nvme_smart_log = {
	.name = "smart-log",
	.args = "URI",
	.summary = "health: temperature, wear, what was read and written",
	.example = "riser nvme smart-log model:nvme",
	.opts = opts,
	.flags = CMD_FORMAT | CMD_RAW,
	.run = run,
};
