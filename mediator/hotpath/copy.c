/* Reading of GPU memory: twin of reference.read_space. */
#include <string.h>

#include "hotpath.h"

uint64_t hp_read_space(const struct hp_memory *memory, const struct hp_space *space,
		       uint64_t address, uint8_t *copy, size_t size)
{
	struct hp_walker walker = {.table = NULL};
	size_t hint = 0;
	size_t done = 0;

	while (done < size) {
		uint64_t at = (address + done) & space->mask;
		uint64_t piece = HP_PAGE_SIZE - (at & (HP_PAGE_SIZE - 1));
		uint64_t physical;
		int32_t writable;

		if (piece > size - done)
			piece = size - done;
		if (hp_walk(memory, space, &walker, at, &physical, &writable))
			break;
		struct hp_memory_at found = hp_find(memory, physical, &hint);
		if (!(found.flags & HP_READABLE) || found.room < piece)
			break;
		memcpy(copy + done, found.host, piece);
		done += piece;
	}
	return done;
}
