/* Compare and exchange in guest memory: twin of reference.compare_exchange. */
#include <string.h>

#include "hotpath.h"

static int exchange4(uint8_t *host, uint8_t *expected, const uint8_t *desired)
{
	uint32_t want, new;

	memcpy(&want, expected, sizeof(want));
	memcpy(&new, desired, sizeof(new));
	int done = __atomic_compare_exchange_n((uint32_t *)(void *)host, &want, new, 0,
					       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	memcpy(expected, &want, sizeof(want));
	return done;
}

static int exchange8(uint8_t *host, uint8_t *expected, const uint8_t *desired)
{
	uint64_t want, new;

	memcpy(&want, expected, sizeof(want));
	memcpy(&new, desired, sizeof(new));
	int done = __atomic_compare_exchange_n((uint64_t *)(void *)host, &want, new, 0,
					       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	memcpy(expected, &want, sizeof(want));
	return done;
}

#ifdef __GCC_HAVE_SYNC_COMPARE_AND_SWAP_16
static int exchange16(uint8_t *host, uint8_t *expected, const uint8_t *desired)
{
	unsigned __int128 want, new;

	memcpy(&want, expected, sizeof(want));
	memcpy(&new, desired, sizeof(new));
	unsigned __int128 found =
		__sync_val_compare_and_swap((unsigned __int128 *)(void *)host, want, new);
	memcpy(expected, &found, sizeof(found));
	return found == want;
}
#else
/* A processor without a 16-byte exchange: the two halves may be seen apart. */
static int exchange16(uint8_t *host, uint8_t *expected, const uint8_t *desired)
{
	int same = memcmp(host, expected, 16) == 0;

	if (same)
		memcpy(host, desired, 16);
	else
		memcpy(expected, host, 16);
	return same;
}
#endif

int hp_compare_exchange(const struct hp_memory *memory, uint64_t address, size_t size,
			uint8_t *expected, const uint8_t *desired)
{
	size_t hint = 0;
	int done;

	if ((size != 4 && size != 8 && size != 16) || address % size)
		return HP_BAD_ARGUMENT;
	struct hp_memory_at found = hp_find(memory, address, &hint);
	uint8_t *host = found.host;
	if (!host || found.flags != (HP_READABLE | HP_WRITABLE))
		return HP_PAGE_NOT_IN_MEMORY;
	if (size == 4)
		done = exchange4(host, expected, desired);
	else if (size == 8)
		done = exchange8(host, expected, desired);
	else
		done = exchange16(host, expected, desired);
	if (done)
		hp_mark(memory, address);
	return done;
}
