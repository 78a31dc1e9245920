/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * debug PORT ADDRESS: crash, and let gdb look at it over a network that the system knows nothing
 *of.
 *
 *	debug tap:riser0 10.77.0.2 &
 *	gdb -ex 'target remote udp:10.77.0.2:6443'
 */
#include <arpa/inet.h>
#include <riser/debug.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define UDP_PORT 6443

/* From inside of a signal handler, so nothing but a system call. */
static void crashed(void *ctx, int sig)
{
	static const char text[] = "crashed: gdb may come\n";

	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		return;
}

static int store(volatile int *where, int what)
{
	*where = what;
	return *where + 1;
}

int main(int argc, char **argv)
{
	struct riser_debug_opts opts = { .size = sizeof(opts), .udp_port = UDP_PORT };
	struct riser_gdb_opts gopts = { .size = sizeof(gopts),
					.halt_signal = SIGRTMIN,
					.crashed = crashed };
	struct riser_debug *d = NULL;
	struct riser_port *p = NULL;
	struct riser_gdb *g = NULL;
	struct riser *r = NULL;
	struct riser_err err;
	struct in_addr a;
	int status = 1;

	if (argc != 3 || !inet_aton(argv[2], &a)) {
		fprintf(stderr, "usage: debug PORT ADDRESS\n");
		return 2;
	}
	opts.address = ntohl(a.s_addr);
	if (riser_new(NULL, &r, &err) || riser_port_open(r, argv[1], NULL, &p, &err) ||
	    riser_debug_open(p, &opts, &d, &err) || riser_gdb_install(d, &gopts, &g, &err))
		fprintf(stderr, "debug: %s\n", err.text);
	else
		status = store(NULL, 42);
	riser_gdb_remove(g);
	riser_debug_close(d);
	riser_port_close(p);
	riser_free(r);
	return status;
}
