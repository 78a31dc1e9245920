/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The model's commands against the specification, on memory and on block devices. */
#include "byhand.h"
#include <sys/stat.h>

#define DNR           RISER_NVME_ST_DNR
#define INVALID_FIELD (RISER_NVME_ST_INVALID_FIELD | DNR)

static uint32_t get_feature(uint8_t fid, unsigned sel, uint32_t cdw11)
{
	return admin_cmd(RISER_NVME_ADM_GET_FEATURES, 0, sel << 8 | fid, cdw11);
}

static uint32_t set_feature(uint8_t fid, bool save, uint32_t cdw11)
{
	return admin_cmd(RISER_NVME_ADM_SET_FEATURES, 0, (save ? RISER_NVME_FEAT_SAVE : 0) | fid,
			 cdw11);
}

static uint32_t result(void)
{
	return le32(last_cqe.dw0);
}

TEST(features_have_current_default_and_saved_values)
{
	const uint8_t fid = RISER_NVME_FEAT_ERROR_RECOVERY;

	SUB(begin("model:nvme"));
	CHECK_EQ(set_feature(fid, false, 7), 0);
	CHECK_EQ(get_feature(fid, 0, 0), 0);
	CHECK_EQ(result(), 7);
	CHECK_EQ(get_feature(fid, 1, 0), 0);
	CHECK_EQ(result(), 0);
	CHECK_EQ(get_feature(fid, 2, 0), 0);
	CHECK_EQ(result(), 0);
	CHECK_EQ(get_feature(fid, 3, 0), 0);
	CHECK_EQ(result(), 5);
	CHECK_EQ(set_feature(fid, true, 9), 0);
	CHECK_EQ(set_feature(fid, false, 8), 0);
	pci_write32(dev, 0, RISER_NVME_REG_CC, 0);
	SUB(enable());
	CHECK_EQ(get_feature(fid, 0, 0), 0);
	CHECK_EQ(result(), 9);
	CHECK_EQ(set_feature(fid, false, 1 << 16), INVALID_FIELD);
	CHECK_EQ(get_feature(fid, 4, 0), INVALID_FIELD);
	CHECK_EQ(get_feature(0x7f, 0, 0), INVALID_FIELD);
	CHECK_EQ(set_feature(0xfe, false, 0), INVALID_FIELD);
	CHECK_EQ(set_feature(RISER_NVME_FEAT_QUEUES, true, 0),
		 RISER_NVME_ST_FEATURE_NOT_SAVEABLE | DNR);
	/* No volatile cache, no such feature. */
	CHECK_EQ(get_feature(RISER_NVME_FEAT_VOLATILE_CACHE, 0, 0), INVALID_FIELD);
	close_model();
}

TEST(the_number_of_queues_is_granted_before_there_are_any)
{
	SUB(begin("model:nvme?queues=8"));
	CHECK_EQ(set_feature(RISER_NVME_FEAT_QUEUES, false, 3 << 16 | 3),
		 RISER_NVME_ST_SEQUENCE | DNR);
	pci_write32(dev, 0, RISER_NVME_REG_CC, 0);
	SUB(enable());
	CHECK_EQ(set_feature(RISER_NVME_FEAT_QUEUES, false, 0xffff0003), INVALID_FIELD);
	CHECK_EQ(set_feature(RISER_NVME_FEAT_QUEUES, false, 31 << 16 | 15), 0);
	CHECK_EQ(result(), 7 << 16 | 7);
	CHECK_EQ(set_feature(RISER_NVME_FEAT_QUEUES, false, 1 << 16 | 1), 0);
	CHECK_EQ(result(), 1 << 16 | 1);
	io.id = 3;
	CHECK_EQ(create_queue(&io, RISER_NVME_ADM_CREATE_CQ, io.cq.iova, 1),
		 RISER_NVME_ST_QID_INVALID | DNR);
	model_nvme_limit_queues(dev, 5);
	pci_write32(dev, 0, RISER_NVME_REG_CC, 0);
	SUB(enable());
	CHECK_EQ(set_feature(RISER_NVME_FEAT_QUEUES, false, 31 << 16 | 31), 0);
	CHECK_EQ(result(), 4 << 16 | 4);
	close_model();
}

TEST(features_with_more_than_a_value)
{
	SUB(begin("model:nvme?vectors=4"));
	CHECK_EQ(set_feature(RISER_NVME_FEAT_IRQ_VECTOR, false, 1 << 16 | 3), 0);
	CHECK_EQ(set_feature(RISER_NVME_FEAT_IRQ_VECTOR, false, 4), INVALID_FIELD);
	CHECK_EQ(get_feature(RISER_NVME_FEAT_IRQ_VECTOR, 0, 3), 0);
	CHECK_EQ(result(), 1 << 16 | 3);
	CHECK_EQ(get_feature(RISER_NVME_FEAT_IRQ_VECTOR, 0, 2), 0);
	CHECK_EQ(result(), 2);
	CHECK_EQ(set_feature(RISER_NVME_FEAT_TEMP_THRESHOLD, false, 1 << 20 | 250), 0);
	CHECK_EQ(get_feature(RISER_NVME_FEAT_TEMP_THRESHOLD, 0, 1 << 20), 0);
	CHECK_EQ(result(), 250);
	CHECK_EQ(get_feature(RISER_NVME_FEAT_TEMP_THRESHOLD, 0, 0), 0);
	CHECK_EQ(result(), 343);
	memcpy(mem.va, "\x40\x42\x0f\x00\x00\x00\x00\x00", 8); /* 1,000,000 ms */
	CHECK_EQ(set_feature(RISER_NVME_FEAT_TIMESTAMP, false, 0), 0);
	pass(5 * NS_PER_S);
	CHECK_EQ(get_feature(RISER_NVME_FEAT_TIMESTAMP, 0, 0), 0);
	CHECK_EQ(*(uint64_t *)mem.va & 0xffffffffffff, 1005000);
	close_model();
}

static uint32_t get_log(uint8_t lid, uint32_t len, uint64_t off)
{
	struct riser_nvme_sqe sqe = command(RISER_NVME_ADM_GET_LOG, RISER_NVME_NSID_ALL);

	sqe.cdw10 = to_le32((len / 4 - 1) << 16 | lid);
	sqe.cdw12 = to_le32((uint32_t)off);
	sqe.prp2 = to_le64(mem.iova + PAGE);
	return run(&admin, sqe);
}

TEST(logs_tell_what_happened)
{
	struct riser_nvme_error_entry *e;
	struct riser_nvme_effects *effects;
	struct riser_nvme_smart *smart;

	SUB(begin("model:nvme?fault=status=0x281,opcode=read,lba=5"));
	e = mem.va;
	effects = mem.va;
	smart = mem.va;
	CHECK_EQ(run(&io, rw(RISER_NVME_IO_WRITE, 0, 8, mem.iova, 0)), 0);
	CHECK_EQ(run(&io, rw(RISER_NVME_IO_READ, 0, 2, mem.iova, 0)), 0);
	CHECK_EQ(run(&io, rw(RISER_NVME_IO_READ, 5, 1, mem.iova, 0)), RISER_NVME_ST_READ_ERROR);
	CHECK_EQ(get_log(RISER_NVME_LOG_SMART, 512, 0), 0);
	CHECK_EQ(le64(smart->host_reads[0]), 1);
	CHECK_EQ(le64(smart->host_writes[0]), 1);
	CHECK_EQ(le64(smart->data_units_written[0]), 1);
	CHECK_EQ(le64(smart->media_errors[0]), 1);
	CHECK_EQ(le64(smart->num_err_log_entries[0]), 1);
	CHECK_EQ(smart->temperature[0] | smart->temperature[1] << 8, 300);
	CHECK_EQ(get_log(RISER_NVME_LOG_ERROR, 128, 0), 0);
	CHECK_EQ(le64(e[0].error_count), 1);
	CHECK_EQ(le16(e[0].status) >> 1, RISER_NVME_ST_READ_ERROR);
	CHECK_EQ(le64(e[0].lba), 5);
	CHECK_EQ(le16(e[0].sqid), 1);
	CHECK_EQ(le64(e[1].error_count), 0);
	CHECK_EQ(get_log(RISER_NVME_LOG_EFFECTS, 4096, 0), 0);
	CHECK_EQ(le32(effects->iocs[RISER_NVME_IO_WRITE]), 3);
	CHECK_EQ(le32(effects->iocs[RISER_NVME_IO_COPY]), 0);
	CHECK_EQ(get_log(RISER_NVME_LOG_EFFECTS, 4, 1024 + RISER_NVME_IO_READ * 4), 0);
	CHECK_EQ(*(uint32_t *)mem.va, 1);
	CHECK_EQ(get_log(RISER_NVME_LOG_FW_SLOT, 512, 0), 0);
	CHECK_EQ(*(uint8_t *)mem.va, 1);
	CHECK_EQ(get_log(RISER_NVME_LOG_SUPPORTED, 1024, 0), 0);
	CHECK_EQ(((uint32_t *)mem.va)[RISER_NVME_LOG_SMART], 1);
	CHECK_EQ(((uint32_t *)mem.va)[0x70], 0);
	CHECK_EQ(get_log(0x70, 64, 0), RISER_NVME_ST_INVALID_LOG | DNR);
	CHECK_EQ(get_log(RISER_NVME_LOG_SMART, 512, 2), INVALID_FIELD);
	CHECK_EQ(get_log(RISER_NVME_LOG_SMART, 512, 516), INVALID_FIELD);
	close_model();
}

TEST(temperature_is_an_event)
{
	struct riser_nvme_cqe cqe;

	SUB(begin("model:nvme"));
	push(&admin, command(RISER_NVME_ADM_AER, 0));
	CHECK_EQ(set_feature(RISER_NVME_FEAT_AER, false, 1 << 9), INVALID_FIELD);
	CHECK_EQ(set_feature(RISER_NVME_FEAT_AER, false, 1 << 1), 0);
	push(&admin, command(RISER_NVME_ADM_SET_FEATURES, 0));
	((struct riser_nvme_sqe *)admin.sq.va)[(admin.tail + ENTRIES - 1) % ENTRIES].cdw10 =
		to_le32(RISER_NVME_FEAT_TEMP_THRESHOLD);
	((struct riser_nvme_sqe *)admin.sq.va)[(admin.tail + ENTRIES - 1) % ENTRIES].cdw11 =
		to_le32(299);
	ring(&admin);
	pump();
	CHECK(reap(&admin, &cqe));
	CHECK_EQ(le32(cqe.dw0), 0x020101); /* SMART, temperature, log 2 */
	CHECK(reap(&admin, &cqe));
	CHECK_EQ(get_log(RISER_NVME_LOG_SMART, 512, 0), 0);
	CHECK_EQ(*(uint8_t *)mem.va, 2);
	close_model();
}

static uint32_t zeroes(uint64_t lba, uint32_t blocks, uint32_t flags)
{
	struct riser_nvme_sqe sqe = rw(RISER_NVME_IO_WRITE_ZEROES, lba, blocks, 0, 0);

	sqe.cdw12 = to_le32((blocks - 1) | flags);
	return run(&io, sqe);
}

static uint32_t deallocate(const struct riser_nvme_dsm_range *ranges, unsigned n, uint32_t flags)
{
	struct riser_nvme_sqe sqe = command(RISER_NVME_IO_DSM, 1);

	memcpy((char *)mem.va + 64 * KiB, ranges, n * sizeof(*ranges));
	sqe.prp1 = to_le64(mem.iova + 64 * KiB);
	sqe.cdw10 = to_le32(n - 1);
	sqe.cdw11 = to_le32(flags);
	return run(&io, sqe);
}

/* Are the bytes of blocks @lba … of 512 bytes all @value? */
static bool blocks_are(uint64_t lba, unsigned blocks, uint8_t value)
{
	uint8_t *p = mem.va;

	memset(p, value + 1, 8 * KiB);
	if (run(&io, rw(RISER_NVME_IO_READ, lba, blocks, mem.iova, mem.iova + PAGE)))
		return false;
	for (unsigned i = 0; i < blocks * 512; i++)
		if (p[i] != value)
			return false;
	return true;
}

static uint32_t set_blocks(uint64_t lba, unsigned blocks, uint8_t value)
{
	memset(mem.va, value, 8 * KiB);
	return run(&io, rw(RISER_NVME_IO_WRITE, lba, blocks, mem.iova, mem.iova + PAGE));
}

/* On whatever @uri is backed by. */
static void io_commands(const char *uri)
{
	struct riser_nvme_dsm_range ranges[] = {
		{ .nlb = to_le32(2), .slba = to_le64(100) },
		{ .nlb = to_le32(0), .slba = to_le64(0) },
		{ .nlb = to_le32(3), .slba = to_le64(110) },
	};

	SUB(begin(uri));
	CHECK_EQ(set_blocks(96, 16, 0x5a), 0);
	CHECK_EQ(set_blocks(112, 16, 0x5a), 0);
	CHECK(blocks_are(96, 16, 0x5a));
	CHECK(blocks_are(80, 16, 0));
	/* Compare: equal, then not, in its last byte. */
	CHECK_EQ(set_blocks(200, 16, 0x11), 0);
	CHECK_EQ(run(&io, rw(RISER_NVME_IO_COMPARE, 200, 16, mem.iova, mem.iova + PAGE)), 0);
	((uint8_t *)mem.va)[16 * 512 - 1] = 0x12;
	CHECK_EQ(run(&io, rw(RISER_NVME_IO_COMPARE, 200, 16, mem.iova, mem.iova + PAGE)),
		 RISER_NVME_ST_COMPARE_FAILED | DNR);
	CHECK_EQ(run(&io, command(RISER_NVME_IO_FLUSH, 1)), 0);
	CHECK_EQ(run(&io, command(RISER_NVME_IO_FLUSH, RISER_NVME_NSID_ALL)), 0);
	CHECK_EQ(run(&io, command(RISER_NVME_IO_FLUSH, 2)), RISER_NVME_ST_INVALID_NS | DNR);
	CHECK_EQ(run(&io, rw(RISER_NVME_IO_VERIFY, 0, 65536, 0, 0)), 0);
	CHECK_EQ(run(&io, rw(RISER_NVME_IO_VERIFY, 131071, 2, 0, 0)),
		 RISER_NVME_ST_LBA_RANGE | DNR);
	CHECK_EQ(zeroes(97, 1, 0), 0);
	CHECK_EQ(zeroes(120, 2, RISER_NVME_RW_DEAC | RISER_NVME_RW_FUA), 0);
	CHECK(blocks_are(96, 1, 0x5a));
	CHECK(blocks_are(97, 1, 0));
	CHECK(blocks_are(98, 14, 0x5a));
	CHECK(blocks_are(120, 2, 0));
	CHECK_EQ(deallocate(ranges, 3, 0), 0);
	CHECK(blocks_are(98, 14, 0x5a));
	CHECK_EQ(deallocate(ranges, 3, RISER_NVME_DSM_AD), 0);
	CHECK(blocks_are(98, 2, 0x5a));
	CHECK(blocks_are(100, 2, 0));
	CHECK(blocks_are(102, 8, 0x5a));
	CHECK(blocks_are(110, 3, 0));
	CHECK(blocks_are(113, 7, 0x5a));
	ranges[2].slba = to_le64(131070);
	CHECK_EQ(deallocate(ranges, 3, RISER_NVME_DSM_AD), RISER_NVME_ST_LBA_RANGE | DNR);
	close_model();
}

TEST(commands_without_data_are_as_large_as_identify_says)
{
	struct riser_nvme_dsm_range ranges[] = {
		{ .nlb = to_le32(8), .slba = to_le64(0) },
		{ .nlb = to_le32(4), .slba = to_le64(100) },
		{ .nlb = to_le32(0), .slba = to_le64(0) },
	};
	const struct riser_nvme_id_ctrl_nvm *id;

	SUB(begin("model:nvme?wzsl=1&dmrl=2&dmrsl=8&dmsl=12"));
	CHECK_EQ(admin_cmd(RISER_NVME_ADM_IDENTIFY, 0, RISER_NVME_CNS_CSI_CTRL, 0), 0);
	id = mem.va;
	CHECK_EQ(id->wzsl, 1);
	CHECK_EQ(id->dmrl, 2);
	CHECK_EQ(le32(id->dmrsl), 8);
	CHECK_EQ(le64(id->dmsl), 12);
	CHECK_EQ(zeroes(0, 16, 0), 0);
	CHECK_EQ(zeroes(0, 17, 0), INVALID_FIELD);
	CHECK_EQ(deallocate(ranges, 2, RISER_NVME_DSM_AD), 0);
	CHECK_EQ(deallocate(ranges, 3, RISER_NVME_DSM_AD), RISER_NVME_ST_SIZE_LIMIT | DNR);
	ranges[1].nlb = to_le32(5);
	CHECK_EQ(deallocate(ranges, 2, RISER_NVME_DSM_AD), RISER_NVME_ST_SIZE_LIMIT | DNR);
	ranges[1].nlb = to_le32(9);
	CHECK_EQ(deallocate(ranges + 1, 1, RISER_NVME_DSM_AD), RISER_NVME_ST_SIZE_LIMIT | DNR);
	close_model();
}

TEST(io_commands_on_memory)
{
	io_commands("model:nvme?size=64M");
}

TEST(io_commands_on_a_block_device)
{
	io_commands("model:nvme?backing=mem:64M");
}

static char disk[] = "/tmp/riser-model-XXXXXX";

static void make_disk(size_t size)
{
	int fd;

	strcpy(disk + sizeof(disk) - 7, "XXXXXX");
	fd = mkstemp(disk);
	CHECK(fd >= 0);
	CHECK_EQ(ftruncate(fd, (off_t)size), 0);
	close(fd);
}

TEST(io_commands_on_a_file)
{
	char uri[128];

	SUB(make_disk(64 * MiB));
	snprintf(uri, sizeof(uri), "model:nvme?backing=%s", disk);
	io_commands(uri);
	unlink(disk);
}

/* More commands than the channel below has I/Os. */
TEST(a_starved_backing_catches_up)
{
	struct riser_nvme_cqe cqe;
	unsigned got = 0;

	SUB(begin("model:nvme?backing=mem:64M"));
	SUB(alloc_queue(&io, 2, 1024));
	CHECK_EQ(create_queue(&io, RISER_NVME_ADM_CREATE_CQ, io.cq.iova, 1), 0);
	CHECK_EQ(create_queue(&io, RISER_NVME_ADM_CREATE_SQ, io.sq.iova, 2 << 16 | 1), 0);
	for (unsigned i = 0; i < 1023; i++)
		push(&io, rw(RISER_NVME_IO_WRITE, i, 1, mem.iova + i * 512, 0));
	ring(&io);
	for (unsigned i = 0; i < patience && got < 1023; i++) {
		pump();
		while (reap(&io, &cqe)) {
			CHECK_EQ(status_of(&cqe), 0);
			got++;
		}
	}
	CHECK_EQ(got, 1023);
	close_model();
}

TEST(a_reset_waits_for_the_backing)
{
	struct riser_nvme_cqe cqe;

	SUB(begin("model:nvme?backing=mem:64M"));
	for (unsigned i = 0; i < 8; i++)
		push(&io, rw(RISER_NVME_IO_READ, i, 1, mem.iova, 0));
	ring(&io);
	pump();
	CHECK(!reap(&io, &cqe));
	pci_write32(dev, 0, RISER_NVME_REG_CC, 0);
	CHECK_EQ(csts(), RISER_NVME_CSTS_RDY);
	for (unsigned i = 0; i < patience && csts(); i++)
		pump();
	CHECK_EQ(csts(), 0);
	CHECK(!reap(&io, &cqe));
	SUB(enable());
	/* And closing while it has commands, too. */
	SUB(create_io(ENTRIES));
	push(&io, rw(RISER_NVME_IO_READ, 0, 1, mem.iova, 0));
	ring(&io);
	pump();
	close_model();
}

TEST(a_read_only_file_is_write_protected)
{
	struct riser_nvme_id_ns *ns;
	char uri[128];

	if (!geteuid())
		SKIP("root may write to everything");
	SUB(make_disk(MiB));
	CHECK_EQ(chmod(disk, 0400), 0);
	snprintf(uri, sizeof(uri), "model:nvme?backing=%s", disk);
	SUB(begin(uri));
	CHECK_EQ(run(&io, rw(RISER_NVME_IO_READ, 0, 1, mem.iova, 0)), 0);
	CHECK_EQ(run(&io, rw(RISER_NVME_IO_WRITE, 0, 1, mem.iova, 0)),
		 RISER_NVME_ST_WRITE_PROTECTED | DNR);
	CHECK_EQ(admin_cmd(RISER_NVME_ADM_FORMAT, 1, 0, 0), RISER_NVME_ST_WRITE_PROTECTED | DNR);
	CHECK_EQ(admin_cmd(RISER_NVME_ADM_IDENTIFY, 1, RISER_NVME_CNS_NS, 0), 0);
	ns = mem.va;
	CHECK_EQ(ns->nsattr, 1);
	close_model();
	unlink(disk);
}

TEST(a_file_has_a_write_cache)
{
	struct riser_nvme_id_ctrl *id;
	char uri[128];

	SUB(make_disk(MiB));
	snprintf(uri, sizeof(uri), "model:nvme?backing=%s", disk);
	SUB(begin(uri));
	CHECK_EQ(admin_cmd(RISER_NVME_ADM_IDENTIFY, 0, RISER_NVME_CNS_CTRL, 0), 0);
	id = mem.va;
	CHECK_EQ(id->vwc & 1, 1);
	CHECK_EQ(get_feature(RISER_NVME_FEAT_VOLATILE_CACHE, 0, 0), 0);
	CHECK_EQ(result(), 1);
	CHECK_EQ(set_feature(RISER_NVME_FEAT_VOLATILE_CACHE, false, 0), 0);
	CHECK_EQ(set_blocks(0, 16, 3), 0);
	CHECK(blocks_are(0, 16, 3));
	close_model();
	unlink(disk);
}

static void format(const char *uri)
{
	struct riser_nvme_id_ns *ns;
	struct riser_nvme_cqe cqe;

	SUB(begin(uri));
	ns = mem.va;
	CHECK_EQ(set_feature(RISER_NVME_FEAT_AER, false, RISER_NVME_OAES_NS_CHANGED), 0);
	CHECK_EQ(set_blocks(8, 16, 0x77), 0);
	push(&admin, command(RISER_NVME_ADM_AER, 0));
	ring(&admin);
	pump();
	CHECK_EQ(admin_cmd(RISER_NVME_ADM_FORMAT, 3, 1, 0), RISER_NVME_ST_INVALID_NS | DNR);
	CHECK_EQ(admin_cmd(RISER_NVME_ADM_FORMAT, 1, 2, 0), RISER_NVME_ST_INVALID_FORMAT | DNR);
	CHECK_EQ(admin_cmd(RISER_NVME_ADM_FORMAT, 1, 1 << 5, 0),
		 RISER_NVME_ST_INVALID_FORMAT | DNR);
	CHECK_EQ(admin_cmd(RISER_NVME_ADM_FORMAT, 1, 2 << 9, 0), INVALID_FIELD);
	push(&admin, command(RISER_NVME_ADM_FORMAT, 1));
	((struct riser_nvme_sqe *)admin.sq.va)[(admin.tail + ENTRIES - 1) % ENTRIES].cdw10 =
		to_le32(1 << 9 | 1);
	ring(&admin);
	CHECK(await(&admin, &cqe));
	CHECK_EQ(le32(cqe.dw0), 0x040002); /* notice, namespace changed, log 4 */
	CHECK(await(&admin, &cqe));
	CHECK_EQ(status_of(&cqe), 0);
	CHECK_EQ(get_log(RISER_NVME_LOG_CHANGED_NS, 4096, 0), 0);
	CHECK_EQ(((uint32_t *)mem.va)[0], 1);
	CHECK_EQ(((uint32_t *)mem.va)[1], 0);
	CHECK_EQ(get_log(RISER_NVME_LOG_CHANGED_NS, 4096, 0), 0);
	CHECK_EQ(((uint32_t *)mem.va)[0], 0);
	CHECK_EQ(admin_cmd(RISER_NVME_ADM_IDENTIFY, 1, RISER_NVME_CNS_NS, 0), 0);
	CHECK_EQ(ns->flbas, 1);
	CHECK_EQ(le64(ns->nsze), 64 * MiB / 4096);
	memset(mem.va, 1, 4096);
	CHECK_EQ(run(&io, rw(RISER_NVME_IO_READ, 1, 1, mem.iova, 0)), 0);
	for (unsigned i = 0; i < 4096; i++)
		CHECK_EQ(((uint8_t *)mem.va)[i], 0);
	CHECK_EQ(admin_cmd(RISER_NVME_ADM_FORMAT, RISER_NVME_NSID_ALL, 0, 0), 0);
	CHECK_EQ(admin_cmd(RISER_NVME_ADM_IDENTIFY, 2, RISER_NVME_CNS_NS, 0), 0);
	CHECK_EQ(ns->flbas, 0);
	close_model();
}

TEST(format_on_memory)
{
	format("model:nvme?namespaces=2&size=64M&block2=4096");
}

TEST(format_on_a_block_device)
{
	format("model:nvme?namespaces=2&size=64M&backing=mem:64M&block2=4096");
}

TEST(a_backing_with_large_blocks_has_no_small_format)
{
	struct riser_nvme_id_ns *ns;

	SUB(begin("model:nvme?backing=[mem:1M?block=4096]"));
	ns = mem.va;
	CHECK_EQ(admin_cmd(RISER_NVME_ADM_IDENTIFY, 1, RISER_NVME_CNS_NS, 0), 0);
	CHECK_EQ(ns->flbas, 1);
	CHECK_EQ(ns->lbaf[0].lbads, 0);
	CHECK_EQ(admin_cmd(RISER_NVME_ADM_FORMAT, 1, 0, 0), RISER_NVME_ST_INVALID_FORMAT | DNR);
	CHECK_EQ(run(&io, rw(RISER_NVME_IO_WRITE, 255, 1, mem.iova, 0)), 0);
	CHECK_EQ(run(&io, rw(RISER_NVME_IO_WRITE, 256, 1, mem.iova, 0)),
		 RISER_NVME_ST_LBA_RANGE | DNR);
	close_model();
}

TEST(fields_that_nothing_offers_are_refused)
{
	struct riser_nvme_sqe sqe;

	SUB(begin("model:nvme"));
	sqe = rw(RISER_NVME_IO_READ, 0, 1, mem.iova, 0);
	sqe.flags = 1 << 6; /* SGLs */
	CHECK_EQ(run(&io, sqe), INVALID_FIELD);
	sqe.flags = 1; /* fused */
	CHECK_EQ(run(&io, sqe), INVALID_FIELD);
	sqe.flags = 0;
	sqe.nsid = to_le32(0);
	CHECK_EQ(run(&io, sqe), RISER_NVME_ST_INVALID_NS | DNR);
	sqe.nsid = to_le32(RISER_NVME_NSID_ALL);
	CHECK_EQ(run(&io, sqe), RISER_NVME_ST_INVALID_NS | DNR);
	CHECK_EQ(run(&io, command(RISER_NVME_IO_COPY, 1)), RISER_NVME_ST_INVALID_OPCODE | DNR);
	sqe = rw(RISER_NVME_IO_WRITE, 0, 1, mem.iova, 0);
	sqe.cdw12 = to_le32(1 << 20); /* a directive */
	CHECK_EQ(run(&io, sqe), INVALID_FIELD);
	close_model();
}

TEST_MAIN(CASE(features_have_current_default_and_saved_values),
	  CASE(the_number_of_queues_is_granted_before_there_are_any),
	  CASE(features_with_more_than_a_value), CASE(logs_tell_what_happened),
	  CASE(temperature_is_an_event), CASE(commands_without_data_are_as_large_as_identify_says),
	  CASE(io_commands_on_memory), CASE(io_commands_on_a_block_device),
	  CASE(io_commands_on_a_file), CASE(a_starved_backing_catches_up),
	  CASE(a_reset_waits_for_the_backing), CASE(a_read_only_file_is_write_protected),
	  CASE(a_file_has_a_write_cache), CASE(format_on_memory), CASE(format_on_a_block_device),
	  CASE(a_backing_with_large_blocks_has_no_small_format),
	  CASE(fields_that_nothing_offers_are_refused))
