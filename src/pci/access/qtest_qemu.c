/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "pci/access/qtest_qemu.h"
#include "base/err.h"
#include "base/uri.h"
#include "base/util.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define BINARY       "qemu-system-x86_64"
#define PACKAGE      "qemu-system-x86" /* Debian's, which has BINARY */
#define RAM_DEFAULT  (256 * MiB)
#define DISK_DEFAULT (1 * GiB)
#define ROM_SIZE     (64 * KiB)
#define ROM_RESET    0xfff0 /* where the processor starts, in the ROM */
#define END_MS       5000

/* What fork() and exec need: made before, since between the two little is allowed. */
struct launch {
	const struct uri *u;
	uint64_t disk_size;
	char *argv[128];
	unsigned argc;
	int pass[16]; /* descriptors that QEMU inherits, closed here afterwards */
	unsigned npass;
	int log;
	int life;
	int failed; /* the child's end: says why exec failed */
};

__attribute__((format(printf, 2, 3))) static int arg(struct launch *l, const char *fmt, ...)
{
	va_list ap;
	int n;

	/* The last element stays NULL. */
	if (l->argc == array_len(l->argv) - 1)
		return -E2BIG;
	va_start(ap, fmt);
	n = vasprintf(&l->argv[l->argc], fmt, ap);
	va_end(ap);
	if (n < 0) {
		l->argv[l->argc] = NULL;
		return -ENOMEM;
	}
	l->argc++;
	return 0;
}

/*
 * Where this process has closed its standard descriptors, new ones take their places, and the
 * child would overwrite them. Return: @fd or its new number, or a negative errno.
 */
static int above_stdio(int fd)
{
	int high;

	if (fd < 0 || fd > STDERR_FILENO)
		return fd;
	high = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (high < 0)
		high = -errno;
	close(fd);
	return high;
}

/* Takes the descriptor over. Return: its number, or a negative errno. */
static int pass(struct launch *l, int fd)
{
	fd = above_stdio(fd);
	if (fd < 0)
		return fd;
	if (l->npass == array_len(l->pass)) {
		close(fd);
		return -E2BIG;
	}
	l->pass[l->npass++] = fd;
	return fd;
}

static int memory_file(const char *name, uint64_t size)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size)) {
		int rc = -errno;

		close(fd);
		return rc;
	}
	return above_stdio(fd);
}

/* cli; hlt; jmp back to hlt, and halts all over, so that no firmware competes for the devices. */
static int halting_rom(void)
{
	static const uint8_t start[] = { 0xfa, 0xf4, 0xeb, 0xfd };
	uint8_t rom[ROM_SIZE];
	int fd = memory_file("riser-rom", sizeof(rom));

	memset(rom, 0xf4, sizeof(rom));
	memcpy(rom + ROM_RESET, start, sizeof(start));
	if (fd >= 0 && pwrite(fd, rom, sizeof(rom), 0) != (ssize_t)sizeof(rom)) {
		close(fd);
		return -EIO;
	}
	return fd;
}

/* Find "key=" in option text such as "nvme,serial=a,,b,addr=4"; a double comma is a comma. */
static const char *option(const char *text, const char *key)
{
	size_t n = strlen(key);

	while (*text) {
		if (!strncmp(text, key, n) && text[n] == '=')
			return text + n + 1;
		while (*text && (*text != ',' || text[1] == ','))
			text += *text == ',' ? 2 : 1;
		text += *text == ',';
	}
	return NULL;
}

static bool is_model(const char *text, const char *model)
{
	size_t n = strlen(model);

	return !strncmp(text, model, n) && (!text[n] || text[n] == ',');
}

/* -drive TEXT with what is missing, or a plain path, or a fresh memory file. */
static int add_drive(struct launch *l, unsigned number, const char *text, struct riser_err *err)
{
	char path[PATH_MAX * 2], *p = path;
	struct stat st;
	int fd;

	if (text && strchr(text, '='))
		return arg(l, "-drive")
			       ?: arg(l, "%s,id=drive%u%s%s", text, number,
				      option(text, "if") ? "" : ",if=none",
				      option(text, "format") || option(text, "driver")
					      ? ""
					      : ",format=raw");
	if (text && (stat(text, &st) || access(text, R_OK | W_OK))) {
		int rc = -errno;

		return err_set(err, rc, "qtest: drive '%s': %s", text, strerror(-rc));
	}
	/* What is behind qtest: counts as harmless to lose. A disk of the machine is not. */
	if (text && !S_ISREG(st.st_mode))
		return err_set(err, -EINVAL,
			       "qtest: drive '%s' is no regular file; if it may be overwritten, "
			       "say drive=file=%s",
			       text, text);
	if (text) {
		for (; *text && p < path + sizeof(path) - 2; *p++ = *text++)
			if (*text == ',')
				*p++ = ',';
		*p = 0;
	} else {
		fd = pass(l, memory_file("riser-drive", l->disk_size));
		if (fd < 0)
			return fd;
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	return arg(l, "-drive") ?: arg(l, "if=none,id=drive%u,format=raw,file=%s", number, path);
}

/*
 * The device (number 1) or a further one, and its drive. One that needs a drive gets one unless
 * its text names one; but an nvme device beside namespaces of their own (nvme-ns) has none.
 */
static int add_device(struct launch *l, unsigned number, const char *text, const char *addr,
		      bool has_namespaces, struct riser_err *err)
{
	const char *drive, *netdev = number == 1 ? uri_get(l->u, "netdev") : NULL;
	bool nvme = is_model(text, "nvme"), add;
	bool disk = is_model(text, "nvme-ns") || is_model(text, "virtio-blk-pci") ||
		    is_model(text, "virtio-blk-pci-transitional") ||
		    is_model(text, "virtio-blk-pci-non-transitional");
	char key[16], id[16], drive_id[24];
	int rc;

	snprintf(key, sizeof(key), number == 1 ? "drive" : "drive%u", number);
	snprintf(id, sizeof(id), ",id=riser%u", number);
	snprintf(drive_id, sizeof(drive_id), ",drive=drive%u", number);
	drive = uri_get(l->u, key);
	add = drive || (!option(text, "drive") && (disk || (nvme && !has_namespaces)));
	rc = add ? add_drive(l, number, drive, err) : 0;
	if (!rc && netdev)
		rc = arg(l, "-netdev") ?: arg(l, "%s,id=net1", netdev);
	if (rc)
		return rc;
	return arg(l, "-device")
		       ?: arg(l, "%s%s%s%s%s%s", text, option(text, "id") ? "" : id,
			      addr ? addr : "",
			      nvme && !option(text, "serial") ? ",serial=riser" : "",
			      add && !option(text, "drive") ? drive_id : "",
			      netdev && !option(text, "netdev") ? ",netdev=net1" : "");
}

static int add_devices(struct launch *l, struct qtest_qemu *q, struct riser_err *err)
{
	const char *texts[5] = { NULL, uri_get(l->u, "device"), uri_get(l->u, "device2"),
				 uri_get(l->u, "device3"), uri_get(l->u, "device4") };
	const char *own = texts[1] ? option(texts[1], "addr") : NULL;
	bool has_namespaces = false;
	int rc = 0;

	if (!texts[1])
		return err_set(err, -EINVAL,
			       "qtest:spawn wants a device, as in qtest:spawn?device=nvme");
	for (unsigned i = 2; i < array_len(texts); i++)
		has_namespaces |= texts[i] && is_model(texts[i], "nvme-ns");
	snprintf(q->addr, sizeof(q->addr), "%.*s", own ? (int)strcspn(own, ",") : 16,
		 own ? own : QTEST_QEMU_ADDR);
	for (unsigned i = 1; !rc && i < array_len(texts); i++)
		if (texts[i])
			rc = add_device(l, i, texts[i],
					i == 1 && !own ? ",addr=" QTEST_QEMU_ADDR : NULL,
					has_namespaces, err);
	return rc;
}

/* QEMU's end of a socket goes to QEMU as chardev @id. */
static int add_socket(struct launch *l, int fd, const char *id)
{
	return arg(l, "-chardev") ?: arg(l, "socket,id=%s,fd=%d", id, fd);
}

static int add_machine(struct launch *l, struct qtest_qemu *q, uint64_t ram_size,
		       struct riser_err *err)
{
	int rom = pass(l, halting_rom()), ram, link, doorbell, pair[2], rc;

	q->ram = memory_file("riser-ram", ram_size);
	ram = pass(l, q->ram < 0 ? q->ram : fcntl(q->ram, F_DUPFD_CLOEXEC, 3));
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return err_set(err, -errno, "qtest: no socket: %s", strerror(errno));
	q->link = pair[0];
	link = pass(l, pair[1]);
	rc = qtest_doorbell_init(&q->doorbell, &doorbell, err);
	if (rc)
		return rc;
	doorbell = pass(l, doorbell);
	if (rom < 0 || ram < 0 || link < 0 || doorbell < 0)
		return -ENOMEM;
	return arg(l, "-machine") ?: arg(l, "q35,accel=tcg,memory-backend=ram") ?:
		arg(l, "-m") ?: arg(l, "%lluM", (unsigned long long)(ram_size / MiB)) ?:
		arg(l, "-object") ?:
		arg(l, "memory-backend-file,id=ram,share=on,size=%llu,mem-path=/proc/self/fd/%d",
		    (unsigned long long)ram_size, ram) ?:
		arg(l, "-nodefaults") ?: arg(l, "-no-user-config") ?:
		arg(l, "-display") ?: arg(l, "none") ?:
		arg(l, "-bios") ?: arg(l, "/proc/self/fd/%d", rom) ?:
		add_socket(l, link, "qtest") ?:
		arg(l, "-object") ?: arg(l, "qtest,id=qtest0,chardev=qtest,log=/dev/null") ?:
		add_socket(l, doorbell, "doorbell") ?:
		arg(l, "-device") ?:
		arg(l, "ivshmem-doorbell,id=doorbell0,chardev=doorbell,vectors=1,ioeventfd=off,"
		       "addr=%x",
		    QTEST_DOORBELL_DEVICE);
}

/* Words of args=, for what the other keys don't say. */
static int add_more(struct launch *l)
{
	const char *p = uri_get(l->u, "args");
	int rc = 0;

	while (p && *p && !rc) {
		size_t n = strcspn(p, " ");

		if (n)
			rc = arg(l, "%.*s", (int)n, p);
		p += n + (p[n] == ' ');
	}
	return rc;
}

/*
 * In the child: only calls that are safe after fork() in a process with threads. A signal by the
 * pipe and not PR_SET_PDEATHSIG, which comes when the *thread* that forked ends.
 */
static _Noreturn void child(const struct launch *l)
{
	struct pollfd life = { .fd = l->life };
	sigset_t none;
	int rc;

	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	rc = dup2(open("/dev/null", O_RDWR), 0);
	if (rc < 0 || dup2(l->log, 1) < 0 || dup2(l->log, 2) < 0)
		goto fail;
	for (unsigned i = 0; i < l->npass; i++)
		if (fcntl(l->pass[i], F_SETFD, 0))
			goto fail;
	if (fcntl(l->life, F_SETFD, 0) || fcntl(l->life, F_SETOWN, getpid()) ||
	    fcntl(l->life, F_SETSIG, SIGTERM) || fcntl(l->life, F_SETFL, O_ASYNC | O_NONBLOCK))
		goto fail;
	if (poll(&life, 1, 0) == 0)
		execvp(l->argv[0], l->argv);
fail:
	rc = errno;
	while (write(l->failed, &rc, sizeof(rc)) < 0 && errno == EINTR)
		;
	for (;;)
		raise(SIGKILL);
}

/* Return: 0 when QEMU's program runs, or the negative errno of exec. */
static int start(struct launch *l, struct qtest_qemu *q)
{
	int life[2], failed[2], rc = 0, why;
	ssize_t n;

	if (pipe2(life, O_CLOEXEC))
		return -errno;
	q->life = life[1];
	if (pipe2(failed, O_CLOEXEC)) {
		rc = -errno;
		close(life[0]);
		return rc;
	}
	l->log = q->log;
	l->life = above_stdio(life[0]);
	l->failed = above_stdio(failed[1]);
	q->pid = l->life < 0 || l->failed < 0 ? -1 : fork();
	if (!q->pid)
		child(l);
	if (q->pid < 0)
		rc = -EAGAIN;
	close(l->life);
	close(l->failed);
	do {
		n = read(failed[0], &why, sizeof(why));
	} while (n < 0 && errno == EINTR);
	if (n == (ssize_t)sizeof(why))
		rc = -why;
	close(failed[0]);
	return rc;
}

int qtest_qemu_start(const struct uri *u, struct qtest_qemu *q, struct riser_err *err)
{
	struct launch l = { .u = u, .disk_size = DISK_DEFAULT };
	uint64_t ram_size = RAM_DEFAULT;
	const char *binary = uri_get(u, "qemu") ?: BINARY;
	int rc;

	*q = QTEST_QEMU_NONE;
	if (err)
		err->text[0] = 0;
	q->log = memory_file("riser-qemu-log", 0);
	rc = uri_get_size(u, "ram", &ram_size, err) ?: uri_get_size(u, "size", &l.disk_size, err);
	if (!rc && (ram_size < 2 * MiB || ram_size % MiB))
		rc = err_set(err, -EINVAL, "qtest: ram=%s is not a number of MiB, two or more",
			     uri_get(u, "ram"));
	if (!rc)
		rc = arg(&l, "%s", binary) ?: add_machine(&l, q, ram_size, err) ?:
			add_devices(&l, q, err) ?: add_more(&l);
	if (!rc) {
		rc = start(&l, q);
		if (rc == -ENOENT)
			err_set(err, rc,
				"qtest: there is no program '%s': install the Debian "
				"package " PACKAGE,
				binary);
		else if (rc)
			err_set(err, rc, "qtest: cannot start '%s': %s", binary, strerror(-rc));
	} else if (err && !err->text[0]) {
		err_set(err, rc, "qtest: cannot prepare QEMU: %s", strerror(-rc));
	}
	for (unsigned i = 0; i < l.argc; i++)
		free(l.argv[i]);
	for (unsigned i = 0; i < l.npass; i++)
		close(l.pass[i]);
	if (rc)
		qtest_qemu_end(q, NULL);
	return rc;
}

static void reap(struct qtest_qemu *q)
{
	if (q->pid <= 0)
		return;
	while (waitpid(q->pid, NULL, 0) < 0 && errno == EINTR)
		;
	q->pid = 0;
}

int qtest_qemu_refused(struct qtest_qemu *q, struct riser_err *err)
{
	char text[RISER_ERR_TEXT] = "", *line, *save;
	ssize_t n;

	kill(q->pid, SIGKILL);
	reap(q);
	n = pread(q->log, text, sizeof(text) - 1, 0);
	text[n < 0 ? 0 : n] = 0;
	line = strtok_r(text, "\n", &save);
	while (line && strstr(line, "warning:"))
		line = strtok_r(NULL, "\n", &save);
	/* "qemu-system-x86_64: -device x: no such device": its name adds nothing. */
	if (line && strstr(line, ": -"))
		line = strstr(line, ": -") + 2;
	return err_set(err, -EINVAL, "qtest: QEMU ended at once: %s",
		       line ? line : "it does not say why");
}

void qtest_qemu_end(struct qtest_qemu *q, struct qtest_link *l)
{
	if (q->pid > 0) {
		kill(q->pid, SIGTERM);
		if (!l || !qtest_link_wait_end(l, END_MS))
			kill(q->pid, SIGKILL);
		reap(q);
	}
	qtest_doorbell_destroy(&q->doorbell);
	for (int *const *fd = (int *const[]){ &q->life, &q->log, &q->ram, &q->link, NULL }; *fd;
	     fd++)
		if (**fd >= 0)
			close(**fd);
	*q = QTEST_QEMU_NONE;
}
