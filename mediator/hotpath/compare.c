/* Pages of the guest against the mediator's copy of them: twin of reference.compare_pages. */
#include <string.h>

#include "hotpath.h"

void hp_compare_pages(const struct hp_memory *memory, const uint64_t *pages, size_t count,
		      const uint8_t *copy, uint8_t *differs)
{
	size_t hint = 0;

	for (size_t n = 0; n < count; n++, copy += HP_PAGE_SIZE) {
		struct hp_memory_at found = hp_find(memory, pages[n], &hint);

		differs[n] = !(found.flags & HP_READABLE) || found.room < HP_PAGE_SIZE ||
			     memcmp(found.host, copy, HP_PAGE_SIZE) != 0;
	}
}
