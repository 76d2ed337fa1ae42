/* Page walks: twin of reference.translate. */
#include "hotpath.h"
#include "page_table.h"

static int in_range(const uint64_t *range, uint64_t address)
{
	return address >= range[HP_RANGE_START] && address < range[HP_RANGE_END];
}

struct hp_memory_at hp_find(const struct hp_memory *memory, uint64_t address, size_t *hint)
{
	struct hp_memory_at found = {.host = NULL};
	size_t low = 0;
	size_t high = memory->ranges;

	if (*hint < high && in_range(memory->table + *hint * HP_RANGE_WORDS, address)) {
		low = *hint + 1;
		high = low;
	}
	/* The last range that starts at or below the address. */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (memory->table[middle * HP_RANGE_WORDS + HP_RANGE_START] <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0)
		return found;
	const uint64_t *range = memory->table + (low - 1) * HP_RANGE_WORDS;
	if (!in_range(range, address) || range[HP_RANGE_HOST] == 0)
		return found;
	*hint = low - 1;
	uint64_t host = range[HP_RANGE_HOST] + (address - range[HP_RANGE_START]);
	found.host = (uint8_t *)(uintptr_t)host;
	found.room = range[HP_RANGE_END] - address;
	found.flags = (unsigned)range[HP_RANGE_FLAGS];
	return found;
}

static int entry_target(uint64_t entry, uint64_t *target)
{
	if (!(entry & PRESENT))
		return HP_NOT_PRESENT;
	if (entry & BEYOND_MASK)
		return HP_BEYOND_39_BITS;
	*target = entry & ADDRESS_MASK;
	return 0;
}

static uint64_t join(uint64_t target, uint64_t address, unsigned shift)
{
	uint64_t offset = (UINT64_C(1) << shift) - 1;

	return (target & ~offset) | (address & offset);
}

/* The table at guest physical `address`; NULL when that is not readable memory. */
static const uint64_t *open_table(const struct hp_memory *memory, struct hp_walker *walker,
				  uint64_t address)
{
	struct hp_memory_at found = hp_find(memory, address, &walker->range);

	/* A page of the guest is 8-byte aligned on the host too. */
	return found.flags & HP_READABLE ? (const void *)found.host : NULL;
}

/* Walk down to the page table of `address`, or to a large page: then 1, with `target` set. */
static int find_table(const struct hp_memory *memory, uint64_t root, struct hp_walker *walker,
		      uint64_t address, uint64_t *target)
{
	uint64_t next = root & ADDRESS_MASK;

	walker->table = NULL;
	walker->region = address >> PD_SHIFT;
	walker->step = 1;
	walker->writable = 1;
	if (root & BEYOND_MASK)
		return HP_BEYOND_39_BITS;
	for (unsigned shift = PML4_SHIFT; shift != PT_SHIFT; shift -= INDEX_BITS) {
		const uint64_t *table = open_table(memory, walker, next);
		uint64_t index = (address >> shift) & INDEX_MASK;

		if (!table)
			return HP_TABLE_NOT_IN_MEMORY;
		uint64_t entry = __atomic_load_n(table + index, __ATOMIC_RELAXED);
		int error = entry_target(entry, &next);
		if (error)
			return error;
		if (!(entry & WRITABLE))
			walker->writable = 0;
		if (shift != PML4_SHIFT && (entry & LARGE_PAGE)) {
			*target = join(next, address, shift);
			return 1;
		}
		if (shift == PD_SHIFT && (entry & PAGES_64K))
			walker->step = STEP_64K;
	}
	walker->table = open_table(memory, walker, next);
	return walker->table ? 0 : HP_TABLE_NOT_IN_MEMORY;
}

static int walk_ppgtt(const struct hp_memory *memory, uint64_t root, struct hp_walker *walker,
		      uint64_t address, uint64_t *physical, int32_t *writable)
{
	uint64_t target;

	if (!walker->table || walker->region != address >> PD_SHIFT) {
		int found = find_table(memory, root, walker, address, physical);

		*writable = walker->writable;
		if (found)
			return found < 0 ? found : 0;
	}
	uint64_t index = (address >> PT_SHIFT) & INDEX_MASK & ~(walker->step - 1);
	uint64_t entry = __atomic_load_n(walker->table + index, __ATOMIC_RELAXED);
	int error = entry_target(entry, &target);
	if (error)
		return error;
	*writable = walker->writable && (entry & WRITABLE);
	*physical = join(target, address, walker->step == 1 ? PT_SHIFT : SHIFT_64K);
	return 0;
}

int hp_walk(const struct hp_memory *memory, const struct hp_space *space,
	    struct hp_walker *walker, uint64_t address, uint64_t *physical, int32_t *writable)
{
	uint64_t target;

	if (!space->entries)
		return walk_ppgtt(memory, space->root, walker, address, physical, writable);
	if (address >> HP_PAGE_SHIFT >= space->entry_count)
		return HP_NOT_PRESENT;
	const uint64_t *slot = space->entries + (address >> HP_PAGE_SHIFT);
	int error = entry_target(__atomic_load_n(slot, __ATOMIC_RELAXED), &target);
	if (error)
		return error;
	*physical = join(target, address, HP_PAGE_SHIFT);
	*writable = 1;
	return 0;
}

int hp_translate(const struct hp_memory *memory, const struct hp_space *space, uint64_t address,
		 uint64_t *physical, int32_t *writable)
{
	struct hp_walker walker = {.table = NULL};

	return hp_walk(memory, space, &walker, address, physical, writable);
}
