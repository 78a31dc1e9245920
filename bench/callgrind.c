/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "callgrind.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAMES 65536

/* A profile compresses names: "(id) name" the first time, "(id)" afterwards. */
static bool *flags_of(bool **table)
{
	if (!*table)
		*table = calloc(NAMES, sizeof(bool));
	return *table;
}

/* Return: the id, and whether the name (remembered by id) passes @test. */
static bool known(const char *text, bool *table, bool (*test)(const char *))
{
	unsigned id = 0;
	const char *name;

	if (sscanf(text, "(%u)", &id) != 1 || id >= NAMES)
		return test(text);
	name = strchr(text, ')');
	if (name && name[1] == ' ')
		table[id] = test(name + 2);
	return table[id];
}

static bool is_riser(const char *object)
{
	return strstr(object, "libriser.so") != NULL;
}

static bool is_driver(const char *function)
{
	return strncmp(function, "model_", 6) != 0;
}

static int64_t sum(const char *path, enum callgrind_what what)
{
	static bool *objects, *functions;
	bool in_object = false, in_function = false, after_calls = false;
	FILE *f = fopen(path, "r");
	char *line = NULL;
	int64_t driver = 0, whole = -1;
	size_t room = 0;

	if (!f)
		return -1;
	memset(flags_of(&objects), 0, NAMES * sizeof(bool));
	memset(flags_of(&functions), 0, NAMES * sizeof(bool));
	while (getline(&line, &room, f) > 0) {
		line[strcspn(line, "\n")] = 0;
		if (!strncmp(line, "ob=", 3)) {
			in_object = known(line + 3, objects, is_riser);
		} else if (!strncmp(line, "cob=", 4)) {
			known(line + 4, objects, is_riser);
		} else if (!strncmp(line, "fn=", 3)) {
			in_function = known(line + 3, functions, is_driver);
		} else if (!strncmp(line, "cfn=", 4)) {
			known(line + 4, functions, is_driver);
		} else if (!strncmp(line, "calls=", 6)) {
			after_calls = true; /* the next line is the callee's cost, not ours */
		} else if (!strncmp(line, "totals: ", 8)) {
			whole = atoll(line + 8);
		} else if (strchr("+-*0123456789", line[0]) && line[0]) {
			const char *cost = strchr(line, ' ');

			if (!after_calls && (in_object || what == CALLGRIND_NO_MODEL) &&
			    in_function && cost)
				driver += atoll(cost);
			after_calls = false;
		}
	}
	free(line);
	fclose(f);
	return what == CALLGRIND_ALL ? whole : driver;
}

static int64_t profile(const char *self, const char *name, uint64_t ios, enum callgrind_what what)
{
	char out[] = "/tmp/riser-callgrind-XXXXXX", option[64], count[32];
	int fd = mkstemp(out), status = 1;
	int64_t total;
	pid_t pid;

	if (fd < 0)
		return -1;
	close(fd);
	snprintf(option, sizeof(option), "--callgrind-out-file=%s", out);
	snprintf(count, sizeof(count), "%llu", (unsigned long long)ios);
	pid = fork();
	if (!pid) {
		execlp("valgrind", "valgrind", "--quiet", "--tool=callgrind", option, self, "--run",
		       name, "--ios", count, (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || status) {
		unlink(out);
		return -1;
	}
	total = sum(out, what);
	unlink(out);
	return total;
}

double callgrind_per_io(const char *self, const char *name, uint64_t short_run, uint64_t long_run,
			enum callgrind_what what)
{
	int64_t a = profile(self, name, short_run, what);
	int64_t b = a < 0 ? -1 : profile(self, name, long_run, what);

	if (b < 0) {
		fprintf(stderr, "bench: %s cannot be counted: is valgrind installed?\n", name);
		return -1;
	}
	return (double)(b - a) / (double)(long_run - short_run);
}
