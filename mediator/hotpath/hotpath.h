/* The hot path's types: memory by pointer and length, addresses as the guest's GPU sees them.
 *
 * Nothing here allocates, keeps state or calls back. The caller holds GuestMemory.using() and the
 * buffers for the length of a call; the guest may write its memory at any time.
 */
#ifndef VGPU_HOTPATH_H
#define VGPU_HOTPATH_H

#include <stddef.h>
#include <stdint.h>

#include "interface.h"

enum { HP_PAGE_SHIFT = 12, HP_PAGE_SIZE = 1 << HP_PAGE_SHIFT };

/* Columns and flags of GuestMemory.table. */
enum { HP_RANGE_START, HP_RANGE_END, HP_RANGE_HOST, HP_RANGE_FLAGS, HP_RANGE_WORDS };
enum { HP_READABLE = 1, HP_WRITABLE = 2 };

/* What the last walk came by: neighbouring pages mostly share it. Zero it to begin a job. */
struct hp_walker {
	const uint64_t *table; /* the page table of `region`, NULL at first */
	uint64_t region; /* GPU address >> 21 */
	uint64_t step; /* 16 where its pages are of 64 KiB, else 1 */
	int32_t writable; /* down to the page table */
	size_t range; /* row of GuestMemory.table */
};

/* As hp_translate, by way of `walker`. */
int hp_walk(const struct hp_memory *memory, const struct hp_space *space,
	    struct hp_walker *walker, uint64_t address, uint64_t *physical, int32_t *writable);

/* A piece of guest memory on the host. */
struct hp_memory_at {
	uint8_t *host; /* NULL: no memory */
	uint64_t room; /* bytes that follow in the same range */
	unsigned flags;
};

/* Guest physical `address`. `hint` is a row of the table to try first, and updated. */
struct hp_memory_at hp_find(const struct hp_memory *memory, uint64_t address, size_t *hint);

/* Note in the dirty log that the page of `address` has been written. */
static inline void hp_mark(const struct hp_memory *memory, uint64_t address)
{
	uint64_t page = address >> HP_PAGE_SHIFT;

	if (memory->dirty && page < memory->dirty_pages)
		__atomic_store_n(&memory->dirty[page], 1, __ATOMIC_RELEASE);
}

#endif
