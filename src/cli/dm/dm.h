/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* What the verbs of tables share. */
#ifndef CLI_DM_DM_H
#define CLI_DM_DM_H

#include "cli/cli.h"
#include <riser/dm.h>
#include <stdio.h>

/*
 * The text of a table that an argument names: a file, "-" for standard input, or, where it has a
 * blank in it and is no file, itself. Return: 0 or an exit code; free(*out).
 */
int dm_read_table(struct cli *c, const char *arg, char **out);

/* What is wrong where: the sentence, the line, and a caret below the word. */
void dm_print_where(FILE *f, const char *table, const struct riser_dm_where *where,
		    const char *what);

#endif
