/* Commands that need no look: twin of reference.skip_commands. */
#include "hotpath.h"

enum { MASK_BITS = 16, BIAS_BITS = 8, LENGTH_BITS = 20 };

static uint64_t take(uint64_t *entry, unsigned bits)
{
	uint64_t value = *entry & ((UINT64_C(1) << bits) - 1);

	*entry >>= bits;
	return value;
}

size_t hp_skip_commands(const uint32_t *dwords, size_t count, size_t at, const uint64_t *entries,
			uint8_t *begins, size_t *commands)
{
	size_t passed = 0;

	while (at < count) {
		uint32_t header = dwords[at];

		if (!header) {
			begins[at++] = 1;
			continue;
		}
		uint64_t entry = entries[header >> 16];
		if (!entry)
			break;
		uint64_t mask = take(&entry, MASK_BITS);
		uint64_t length = (header & mask) + take(&entry, BIAS_BITS);
		uint64_t fewest = take(&entry, LENGTH_BITS);
		if (!length || length < fewest || length > entry || length > count - at)
			break;
		begins[at] = 1;
		at += length;
		passed++;
	}
	*commands = passed;
	return at;
}
