/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* A circular doubly linked list, as the kernel's: the head is a node too. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include "base/util.h"
#include <stdbool.h>

struct list {
	struct list *next, *prev;
};

#define LIST_INIT(name)                                                                            \
	{                                                                                          \
		&(name), &(name)                                                                   \
	}

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_add(struct list *head, struct list *n)
{
	n->next = head->next;
	n->prev = head;
	head->next->prev = n;
	head->next = n;
}

static inline void list_add_tail(struct list *head, struct list *n)
{
	list_add(head->prev, n);
}

/* The node becomes a list of its own, so that deleting twice harms nobody. */
static inline void list_del(struct list *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	list_init(n);
}

#define list_entry(ptr, type, member) container_of(ptr, type, member)
#define list_first(head, type, member)                                                             \
	(list_empty(head) ? NULL : list_entry((head)->next, type, member))
#define list_for_each(pos, head, type, member)                                                     \
	for (type *pos = list_entry((head)->next, type, member); &pos->member != (head);           \
	     pos = list_entry(pos->member.next, type, member))
/* @pos may be deleted and freed in the body. */
#define list_for_each_safe(pos, head, type, member)                                                \
	for (type *pos = list_entry((head)->next, type, member),                                   \
		  *pos##_next = list_entry(pos->member.next, type, member);                        \
	     &pos->member != (head);                                                               \
	     pos = pos##_next, pos##_next = list_entry(pos->member.next, type, member))

#endif
