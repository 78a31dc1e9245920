/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Numbers and words from people: what commands over riser need to speak as it does. */
#ifndef RISER_UTIL_H
#define RISER_UTIL_H

#include <riser/riser.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * riser_parse_u64 - a number in decimal or as 0x…
 * @s: the number, nothing behind it
 * @out: its value
 *
 * Return: 0, -EINVAL, or -ERANGE above 2^64 - 1.
 */
RISER_API int riser_parse_u64(const char *s, uint64_t *out);

/**
 * riser_parse_size - a number of bytes such as 4096, 64K, 1MiB, 1.5T
 * @s: a number with an optional binary suffix K, M, G, T, P, which "iB" or "B" may follow; with a
 *	decimal fraction if what comes out is a whole number of bytes
 * @out: bytes
 *
 * Return: 0, -EINVAL, or -ERANGE above 2^64 - 1.
 */
RISER_API int riser_parse_size(const char *s, uint64_t *out);

/**
 * riser_format_size - bytes for people: 4096 becomes "4 KiB"
 * @bytes: how many
 * @buf: receives the text
 * @len: of @buf; 16 is enough
 *
 * Return: @buf.
 */
RISER_API char *riser_format_size(uint64_t bytes, char *buf, size_t len);

/**
 * riser_nearest - the word that was probably meant
 * @word: what was given
 * @words: what there is; ends in NULL
 *
 * Return: one of @words, or NULL when none is near.
 */
RISER_API const char *riser_nearest(const char *word, const char *const *words);

/**
 * riser_utf8 - the length of a character of UTF-8
 * @text: where it begins
 * @len: bytes that are there
 *
 * Return: 1 to 4; 0 where there is none.
 */
RISER_API size_t riser_utf8(const char *text, size_t len);

/**
 * riser_printable - text that does nothing to a terminal but appear
 * @text: any bytes
 * @len: how many
 * @out: receives them, ended by a 0: control characters and what is no UTF-8 as "\x1b"
 * @size: of @out, at least 1; it is cut between two characters
 *
 * The sentences of struct riser_err and the lines of a log are so already.
 *
 * Return: how many bytes of @text are in @out.
 */
RISER_API size_t riser_printable(const char *text, size_t len, char *out, size_t size);

/**
 * riser_uri_get - the value of a key of a URI
 * @uri: such as "model:nvme?nsid=2"
 * @key: such as "nsid"
 * @buf: receives the value, unescaped
 * @len: of @buf
 *
 * Return: 0, -ENOENT when the key is not there, -EINVAL for what is no URI, -ERANGE when @buf is
 * too small, -ENOMEM.
 */
RISER_API int riser_uri_get(const char *uri, const char *key, char *buf, size_t len);

/**
 * riser_uri_is_harmless - whether losing what is behind a controller harms nobody
 * @r: the context
 * @uri: an NVMe controller; block devices are judged by riser_blk_is_safe_to_destroy()
 * @out: true for models on harmless backings, and for emulators; false for hardware
 * @err: filled on failure; may be NULL
 *
 * Nothing is sent to the controller. A model's backing is opened for reading, to be judged.
 *
 * A scheme that is unknown is not harmless; opening the controller will say so.
 *
 * Return: 0; -EINVAL for what is no URI; what opening a backing said.
 */
RISER_API int riser_uri_is_harmless(struct riser *r, const char *uri, bool *out,
				    struct riser_err *err);

#ifdef __cplusplus
}
#endif

#endif
