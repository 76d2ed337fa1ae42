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

/* Host address of guest physical `address` and how its range may be used; NULL when there is no
 * memory. Valid up to the end of its 4 KiB page. */
uint8_t *hp_host(const struct hp_memory *memory, uint64_t address, unsigned *flags);

/* Note in the dirty log that the page of `address` has been written. */
static inline void hp_mark(const struct hp_memory *memory, uint64_t address)
{
	uint64_t page = address >> HP_PAGE_SHIFT;

	if (memory->dirty && page < memory->dirty_pages)
		__atomic_store_n(&memory->dirty[page], 1, __ATOMIC_RELEASE);
}

#endif
