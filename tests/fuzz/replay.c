/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Drives a fuzz target where libFuzzer does not: `fuzz-NAME FOLDER` replays its files and tries
 * RISER_FUZZ_MUTATIONS of them (2000 by default), from RISER_TEST_SEED; `fuzz-NAME FILE…` replays
 * those alone. A child does the work; what it dies of is left in ./fuzz-NAME.input.
 */
#include "fuzz.h"
#include <dirent.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define INPUT_MAX  (64 * 1024)
#define INPUTS_MAX 1000

struct input {
	size_t len;
	uint8_t *data;
};

/* Shared with the child that tries it. */
static struct {
	size_t len;
	bool replayed;
	uint8_t data[INPUT_MAX];
} * at_hand;

static struct input inputs[INPUTS_MAX];
static unsigned ninputs;
static uint64_t seed;

static unsigned roll(unsigned n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)((seed >> 33) % n);
}

static void load(const char *path)
{
	static uint8_t data[INPUT_MAX];
	FILE *f = fopen(path, "rb");
	struct input *in = &inputs[ninputs];

	if (!f || ninputs == INPUTS_MAX) {
		fprintf(stderr, "fuzz: cannot take %s\n", path);
		exit(1);
	}
	in->len = fread(data, 1, sizeof(data), f);
	in->data = malloc(in->len + 1);
	memcpy(in->data, data, in->len);
	fclose(f);
	ninputs++;
}

static int is_file(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

/* In the order of their names, so that a seed means the same everywhere. */
static void load_folder(const char *path)
{
	struct dirent **names;
	int n = scandir(path, &names, is_file, alphasort);
	char file[4096];

	for (int i = 0; i < n; i++) {
		snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name);
		load(file);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
}

static void change(uint8_t *data, size_t *len)
{
	static const uint8_t edges[] = { 0, 1, 2, 3, 7, 8, 0x7f, 0x80, 0xff };
	size_t at = roll((unsigned)*len), n;
	const struct input *other;

	switch (roll(6)) {
	case 0:
		data[at] ^= (uint8_t)(1u << roll(8));
		break;
	case 1:
		data[at] = edges[roll(sizeof(edges))];
		break;
	case 2: /* a word of ones or zeroes */
		n = *len - at < 4 ? *len - at : 4;
		memset(data + at, roll(2) ? 0xff : 0, n);
		break;
	case 3: /* cut off */
		*len = at + 1;
		break;
	case 4: /* cut out */
		n = roll((unsigned)(*len - at));
		memmove(data + at, data + at + n, *len - at - n);
		*len -= n;
		break;
	default: /* go on like another one */
		other = &inputs[roll(ninputs)];
		n = other->len ? roll((unsigned)other->len) : 0;
		if (at + other->len - n <= INPUT_MAX) {
			memcpy(data + at, other->data + n, other->len - n);
			*len = at + other->len - n ? at + other->len - n : 1;
		}
		break;
	}
}

static void try_it(const uint8_t *data, size_t len)
{
	uint8_t *exact = malloc(len ? len : 1); /* so that a byte too many is noticed */

	memcpy(exact, data, len);
	memcpy(at_hand->data, data, len);
	at_hand->len = len;
	LLVMFuzzerTestOneInput(exact, len);
	free(exact);
}

static void mutate(unsigned tries)
{
	static uint8_t data[INPUT_MAX];

	for (unsigned i = 0; i < tries; i++) {
		const struct input *in = &inputs[roll(ninputs)];
		size_t len = in->len;

		if (!len)
			continue;
		memcpy(data, in->data, len);
		for (unsigned n = 1 + roll(4); n; n--)
			change(data, &len);
		try_it(data, len);
	}
}

static int child(unsigned tries)
{
	for (unsigned i = 0; i < ninputs; i++)
		try_it(inputs[i].data, inputs[i].len);
	printf("ok 1 - %u inputs replayed\n", ninputs);
	fflush(stdout);
	at_hand->replayed = true;
	mutate(tries);
	for (unsigned i = 0; i < ninputs; i++)
		free(inputs[i].data);
	return 0;
}

/* What the child died of, for whoever has to look at it. */
static void leave(const char *self)
{
	const char *slash = strrchr(self, '/');
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s.input", slash ? slash + 1 : self);
	f = fopen(path, "wb");
	if (!f)
		return;
	fwrite(at_hand->data, 1, at_hand->len, f);
	fclose(f);
	printf("# the input is in %s\n", path);
}

int main(int argc, char **argv)
{
	const char *tries = getenv("RISER_FUZZ_MUTATIONS"), *from = getenv("RISER_TEST_SEED");
	bool folder = false;
	struct stat st;
	int status;
	pid_t pid;

	seed = from ? strtoull(from, NULL, 0) : 1;
	for (int i = 1; i < argc; i++) {
		if (!stat(argv[i], &st) && S_ISDIR(st.st_mode)) {
			load_folder(argv[i]);
			folder = true;
		} else {
			load(argv[i]);
		}
	}
	at_hand = mmap(NULL, sizeof(*at_hand), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	if (!ninputs || at_hand == MAP_FAILED) {
		printf("not ok 1 - nothing to replay\n1..1\n");
		return 1;
	}
	pid = fork();
	if (!pid)
		return child(!folder ? 0 : tries ? (unsigned)strtoul(tries, NULL, 0) : 2000);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status) {
		leave(argv[0]);
		printf("not ok %d - %s\n1..2\n", 1 + at_hand->replayed,
		       at_hand->replayed ? "mutations" : "a replay");
		return 1;
	}
	printf("ok 2 - mutations of them, from seed %s\n1..2\n", from ? from : "1");
	return 0;
}
