/* Runs of MI_STORE_DATA_IMM into one page: twin of reference.store_run. */
#include "hotpath.h"

enum { STORE_DWORDS = 4, STORE_LOW = 1, STORE_HIGH = 2, STORE_DATA = 3 };

static uint32_t load(const uint32_t *dword)
{
	return __atomic_load_n(dword, __ATOMIC_RELAXED);
}

size_t hp_store_run(const uint32_t *commands, size_t dwords, uint32_t header, uint64_t mask,
		    uint64_t page, uint32_t *target, size_t target_dwords)
{
	const uint64_t offset_mask = HP_PAGE_SIZE - 1;
	size_t done = 0;

	if (target_dwords != HP_PAGE_SIZE / sizeof(*target))
		return 0;
	/* Each dword is read once: the guest may write the commands meanwhile. */
	for (; dwords >= STORE_DWORDS; dwords -= STORE_DWORDS, commands += STORE_DWORDS) {
		if (load(commands) != header)
			break;
		uint64_t address = load(commands + STORE_LOW) & ~UINT32_C(3);

		address |= (uint64_t)load(commands + STORE_HIGH) << 32;
		address &= mask;
		if ((address & ~offset_mask) != page)
			break;
		uint32_t *place = target + ((address & offset_mask) / sizeof(*target));
		__atomic_store_n(place, load(commands + STORE_DATA), __ATOMIC_RELEASE);
		done++;
	}
	return done;
}
