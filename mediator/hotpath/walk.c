/* Page walks: twin of reference.translate. Bit positions are those of gen9/pte.py. */
#include "hotpath.h"

#define PRESENT (UINT64_C(1) << 0)
#define WRITABLE (UINT64_C(1) << 1)
#define LARGE_PAGE (UINT64_C(1) << 7)
#define PAGES_64K (UINT64_C(1) << 11)
#define ADDRESS_MASK UINT64_C(0x0000007ffffff000)
#define BEYOND_MASK UINT64_C(0x00003f8000000000)

enum { PML4_SHIFT = 39, PDP_SHIFT = 30, PD_SHIFT = 21, PT_SHIFT = 12, INDEX_BITS = 9 };
enum { STEP_64K = 16, SHIFT_64K = 16 };

uint8_t *hp_host(const struct hp_memory *memory, uint64_t address, unsigned *flags)
{
	size_t low = 0;
	size_t high = memory->ranges;

	/* The last range that starts at or below the address. */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (memory->table[middle * HP_RANGE_WORDS + HP_RANGE_START] <= address)
			low = middle + 1;
		else
			high = middle;
	}
	*flags = 0;
	if (low == 0)
		return NULL;
	const uint64_t *range = memory->table + (low - 1) * HP_RANGE_WORDS;
	if (address >= range[HP_RANGE_END] || range[HP_RANGE_HOST] == 0)
		return NULL;
	*flags = (unsigned)range[HP_RANGE_FLAGS];
	return (uint8_t *)(uintptr_t)(range[HP_RANGE_HOST] + (address - range[HP_RANGE_START]));
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

static int walk_ppgtt(const struct hp_memory *memory, uint64_t root, uint64_t address,
		      uint64_t *physical, int32_t *writable)
{
	uint64_t table = root & ADDRESS_MASK;
	uint64_t step = 1;

	if (root & BEYOND_MASK)
		return HP_BEYOND_39_BITS;
	*writable = 1;
	for (unsigned shift = PML4_SHIFT;; shift -= INDEX_BITS) {
		uint64_t index = (address >> shift) & ((1 << INDEX_BITS) - 1);
		unsigned flags;

		if (shift == PT_SHIFT)
			index &= ~(step - 1);
		const uint8_t *host = hp_host(memory, table, &flags);
		if (!host || !(flags & HP_READABLE))
			return HP_TABLE_NOT_IN_MEMORY;
		/* A page of the guest is 8-byte aligned on the host too. */
		const uint64_t *slot = (const uint64_t *)(const void *)host + index;
		uint64_t entry = __atomic_load_n(slot, __ATOMIC_RELAXED);
		int error = entry_target(entry, &table);
		if (error)
			return error;
		if (!(entry & WRITABLE))
			*writable = 0;
		if ((shift == PDP_SHIFT || shift == PD_SHIFT) && (entry & LARGE_PAGE)) {
			*physical = join(table, address, shift);
			return 0;
		}
		if (shift == PD_SHIFT && (entry & PAGES_64K))
			step = STEP_64K;
		if (shift == PT_SHIFT)
			break;
	}
	*physical = join(table, address, step == 1 ? PT_SHIFT : SHIFT_64K);
	return 0;
}

int hp_translate(const struct hp_memory *memory, const struct hp_space *space, uint64_t address,
		 uint64_t *physical, int32_t *writable)
{
	uint64_t target = 0;

	if (!space->entries)
		return walk_ppgtt(memory, space->root, address, physical, writable);
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
