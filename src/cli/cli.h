/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * What every subcommand is made of. A subcommand is one file with a const struct cmd and one word
 * in src/cli/meson.build; its option table feeds the parser, --help and the bash completion.
 *
 * run() returns an exit code. Whatever fails says so once, in one sentence, through cli_fail() or
 * cli_fail_err(), which return the code to hand up.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <riser/riser.h>
#include <stddef.h>

enum cli_exit {
	CLI_OK = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,      /* unknown verb, scheme or option; missing argument */
	CLI_PERMISSION = 3, /* not allowed */
	CLI_MISSING = 4,    /* no such file, socket, device, namespace; or busy */
	CLI_MISMATCH = 5,   /* verify found a difference */
};

#define array_len(a) (sizeof(a) / sizeof((a)[0]))
#define KiB          ((uint64_t)1 << 10)
#define MiB          ((uint64_t)1 << 20)
#define GiB          ((uint64_t)1 << 30)

enum opt_type {
	OPT_BOOL,   /* bool, no value */
	OPT_NUMBER, /* uint64_t */
	OPT_NUM32,  /* uint32_t */
	OPT_BYTES,  /* uint64_t, with K, M, G, T */
	OPT_TEXT,   /* const char * */
	OPT_WORD,   /* const char *, one of @words */
	OPT_TEXTS,  /* struct opt_texts: may be repeated */
};

/**
 * struct opt - one option of a subcommand
 * @name: without dashes; NULL ends a table
 * @letter: the short form, or 0
 * @type: what its value is
 * @at: where the value goes in the subcommand's structure
 * @arg: what the value is called in help
 * @help: one line
 * @words: for OPT_WORD, ends in NULL
 */
struct opt {
	const char *name;
	char letter;
	enum opt_type type;
	size_t at;
	const char *arg;
	const char *help;
	const char *const *words;
};

#define OPT_TEXTS_MAX 16

struct opt_texts {
	unsigned n;
	const char *text[OPT_TEXTS_MAX];
};

/* Offset of a member whose type is checked at compile time. */
#define OPT_AT(type, s, m) (offsetof(s, m) + 0 * sizeof(&((s *)0)->m == (type *)0))
#define OPT_IS_BOOL(s, m)  .type = OPT_BOOL, .at = OPT_AT(bool, s, m)
#define OPT_IS_NUM(s, m)   .type = OPT_NUMBER, .at = OPT_AT(uint64_t, s, m)
#define OPT_IS_NUM32(s, m) .type = OPT_NUM32, .at = OPT_AT(uint32_t, s, m)
#define OPT_IS_BYTES(s, m) .type = OPT_BYTES, .at = OPT_AT(uint64_t, s, m)
#define OPT_IS_TEXT(s, m)  .type = OPT_TEXT, .at = OPT_AT(const char *, s, m)
#define OPT_IS_WORD(s, m)  .type = OPT_WORD, .at = OPT_AT(const char *, s, m)
#define OPT_IS_TEXTS(s, m) .type = OPT_TEXTS, .at = OPT_AT(struct opt_texts, s, m)

struct cli;

/* Flags of struct cmd: options that several subcommands share. */
#define CMD_DESTROYS (1u << 0) /* --yes-destroy-data */
#define CMD_PROGRESS (1u << 1) /* --progress=FD */
#define CMD_FORMAT   (1u << 2) /* -o normal|json|binary */
#define CMD_RAW      (1u << 3) /* --raw-binary, as -o binary */
#define CMD_LOAD     (1u << 4) /* --rw and what else makes a load: see load.h */
#define CMD_COMMAND  (1u << 5) /* -- CMD [ARGUMENT…]: another program's, see struct cli */

/**
 * struct cmd - one subcommand
 * @name: the word on the command line
 * @args: its arguments, such as "URI" or "SRC DST"; "[X]" may be left out, and the last may be
 *	"X…", once or more, or "[X…]"
 * @summary: one line
 * @example: a line that works as it stands
 * @opts: its own options, or NULL
 * @flags: CMD_DESTROYS, …
 * @run: does it; NULL where there are @subs
 * @subs: subcommands below this word, ends in NULL
 */
struct cmd {
	const char *name;
	const char *args;
	const char *summary;
	const char *example;
	const struct opt *opts;
	unsigned flags;
	int (*run)(struct cli *c);
	const struct cmd *const *subs;
};

#define CLI_ARGS_MAX 16

struct cli_load {
	const char *rw;
	uint64_t bs;
	uint32_t iodepth;
	uint64_t runtime, ios;
};

enum cli_format { FORMAT_NORMAL, FORMAT_JSON, FORMAT_BINARY };

/**
 * struct cli - one run of the command
 * @cmd: what runs
 * @verb: its full name for sentences, such as "nvme id-ctrl"
 * @argc: words behind the verb
 * @argv: likewise
 * @arg: arguments that are no options, as @cmd->args names them; NULL where left out
 * @nargs: how many were given
 * @command: the words behind "--" of a verb with CMD_COMMAND; ends in NULL
 * @common: values of the options that several subcommands share
 * @format: --json, -o and --raw-binary in one
 * @r: the context, once cli_context() made it
 * @x: the executor, likewise
 * @err: for set-up functions of the library
 */
struct cli {
	const struct cmd *cmd;
	char verb[48];
	int argc;
	char **argv;
	const char *arg[CLI_ARGS_MAX];
	unsigned nargs;
	char **command;
	struct cli_common {
		bool json;
		bool verbose;
		bool yes;
		bool raw;
		uint32_t progress_fd;
		const char *format;
		struct cli_load load;
		struct opt_texts plugins;
	} common;
	enum cli_format format;
	struct riser *r;
	struct riser_exec *x;
	struct riser_err err;
};

extern const struct cmd *const cli_commands[];

/* main.c */
const struct cmd *cli_find(const struct cmd *const *cmds, const char *name);
/* Find the subcommand that the words name, going down into @cmd->subs. Fills c->cmd, verb, argc,
 * argv. Return: 0, or CLI_USAGE after saying what is wrong. */
int cli_resolve(struct cli *c, const struct cmd *const *cmds, int argc, char **argv);
/* Is @word behind the verb, before a "--"? */
bool cli_has_word(const struct cli *c, const char *word);
/* Make c->r and c->x, once. */
int cli_context(struct cli *c);

/* opt.c: read c->argv into @values (of the cmd's table), c->arg and c->common. */
int cli_parse(struct cli *c, void *values);
/* Tables that hold for @cmd: its own, then the shared ones. Return: NULL behind the last. */
const struct opt *cli_opts(const struct cmd *cmd, unsigned index);

/* usage.c */
void cli_print_help(const struct cmd *cmd, const char *verb);
void cli_print_overview(void);
void cli_print_completion(void);

/* fail.c */
int cli_exit_of(int err);
int cli_fail(struct cli *c, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The library refused with @rc and left a sentence in c->err. */
int cli_fail_err(struct cli *c, int rc);
/* Standard output is to carry data. Return: 0, or CLI_USAGE when it is a terminal, after saying
 * what may be given instead. */
int cli_check_stdout(struct cli *c, const char *instead);
/* Flush stdout; a reader that went away fails quietly. Return: @code, or the failure's. */
int cli_finish(struct cli *c, int code);

#endif
