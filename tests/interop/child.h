/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Another program as a child, which does not outlive the test. */
#ifndef TESTS_INTEROP_CHILD_H
#define TESTS_INTEROP_CHILD_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static inline bool child_is_there(const char *program)
{
	const char *path = getenv("PATH");
	char file[4096];

	for (; path && *path; path += strcspn(path, ":"), path += *path == ':') {
		snprintf(file, sizeof(file), "%.*s/%s", (int)strcspn(path, ":"), path, program);
		if (!access(file, X_OK))
			return true;
	}
	return false;
}

/* @argv ends in NULL; @in and @out, if they are not -1, are its. Return: its process, or -1. */
static inline pid_t child_start_with(const char *const *argv, int in, int out)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	if ((in >= 0 && dup2(in, 0) < 0) || (out >= 0 && (dup2(out, 1) < 0 || dup2(out, 2) < 0)))
		_exit(127);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	execvp(argv[0], (char *const *)(uintptr_t)argv);
	_exit(127);
}

static inline pid_t child_start(const char *const *argv)
{
	return child_start_with(argv, -1, -1);
}

/* Does anybody listen on this unix socket? That its file is there does not tell so yet. */
static inline bool child_listens(const char *path)
{
	FILE *f = fopen("/proc/net/unix", "re");
	char line[512], at[256];
	unsigned flags;
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f))
		found = sscanf(line, "%*s %*s %*s %x %*s %*s %*s %255s", &flags, at) == 2 &&
			flags & 0x10000 && !strcmp(at, path);
	if (f)
		fclose(f);
	return found;
}

static inline void child_end(pid_t *pid)
{
	if (*pid <= 0)
		return;
	kill(*pid, SIGKILL);
	waitpid(*pid, NULL, 0);
	*pid = 0;
}

#endif
