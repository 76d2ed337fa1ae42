/* Shadow page tables: twin of reference_shadow.py, which says what the arrays hold.
 *
 * The guest may write its tables at any time: an entry is read once, kept in the copy, and judged by
 * the copy. The GPU may be walking the shadow: an entry is stored at once, after the table it points
 * to is complete.
 */
#include <string.h>

#include "hotpath.h"
#include "page_table.h"

#define FLAGS_MASK UINT64_C(0xfff)
#define NO_SLOT UINT64_MAX

enum { LEVEL_PML4, LEVEL_PDP, LEVEL_PD, LEVEL_PT, LEVEL_PT_64K };
enum { NODE_KEY, NODE_EPOCH, NODE_WORDS };
enum { COUNT_EPOCH, COUNT_USED, COUNT_REFUSED, COUNT_TRANSLATED, COUNT_VISITED, COUNT_FREE };

struct job {
	const struct hp_memory *memory;
	const struct hp_shadow *shadow;
	size_t range; /* row of GuestMemory.table */
};

static int visit(struct job *job, uint64_t address, unsigned level, uint64_t *slot);

static uint64_t *node(const struct hp_shadow *shadow, uint64_t slot)
{
	return shadow->nodes + slot * NODE_WORDS;
}

static uint64_t key_of(uint64_t address, unsigned level)
{
	return address | level << 1 | 1;
}

static uint64_t key_level(uint64_t key)
{
	return key >> 1 & 7;
}

/* Slots are used again at their level only. The two layouts of a page table are one. */
static unsigned free_list(uint64_t level)
{
	return COUNT_FREE + (level < LEVEL_PT ? (unsigned)level : LEVEL_PT);
}

static size_t index_start(const struct hp_shadow *shadow, uint64_t key)
{
	return (size_t)(key * shadow->multiplier >> 32) & (shadow->index_size - 1);
}

static uint64_t find_slot(const struct hp_shadow *shadow, uint64_t key)
{
	size_t at = index_start(shadow, key);

	for (; shadow->index[at]; at = (at + 1) & (shadow->index_size - 1))
		if (node(shadow, shadow->index[at] - 1)[NODE_KEY] == key)
			return shadow->index[at] - 1;
	return NO_SLOT;
}

static void enter_slot(const struct hp_shadow *shadow, uint64_t key, uint64_t slot)
{
	size_t at = index_start(shadow, key);

	while (shadow->index[at])
		at = (at + 1) & (shadow->index_size - 1);
	shadow->index[at] = (uint32_t)slot + 1;
}

/* A slot with an empty table and an empty copy, or NO_SLOT. */
static uint64_t take_slot(const struct hp_shadow *shadow, uint64_t key)
{
	uint64_t *head = shadow->counts + free_list(key_level(key));
	uint64_t slot = *head - 1;

	if (*head) {
		*head = node(shadow, slot)[NODE_KEY] >> 1;
		memset(shadow->tables + slot * TABLE_ENTRIES, 0, HP_PAGE_SIZE);
		memset(shadow->copies + slot * TABLE_ENTRIES, 0, HP_PAGE_SIZE);
	} else if (shadow->counts[COUNT_USED] < shadow->slots) {
		slot = shadow->counts[COUNT_USED]++;
	} else {
		return NO_SLOT;
	}
	node(shadow, slot)[NODE_KEY] = key;
	enter_slot(shadow, key, slot);
	return slot;
}

static int is_large(uint64_t entry, unsigned level)
{
	return (entry & LARGE_PAGE) && (level == LEVEL_PDP || level == LEVEL_PD);
}

static int names_table(uint64_t entry, unsigned level)
{
	return (entry & PRESENT) && !(entry & BEYOND_MASK) && !is_large(entry, level);
}

/* The shadow of an entry for a page of 1 << `shift` bytes; 0 when it leaves the window. */
static uint64_t translate_page(const struct hp_shadow *shadow, uint64_t entry, unsigned shift)
{
	uint64_t size = UINT64_C(1) << shift;
	uint64_t address = entry & ADDRESS_MASK & ~(size - 1);

	if (!(entry & PRESENT))
		return 0;
	if ((entry & BEYOND_MASK) || size > shadow->window_size ||
	    address > shadow->window_size - size) {
		shadow->counts[COUNT_REFUSED]++;
		return 0;
	}
	return (shadow->window_base + address) | (entry & FLAGS_MASK);
}

/* The shadow of an entry that names a table; `old`, what stood there, is likely it. */
static int translate_table(struct job *job, uint64_t entry, unsigned level, uint64_t old,
			   uint64_t *result)
{
	const struct hp_shadow *shadow = job->shadow;
	uint64_t address = entry & ADDRESS_MASK;
	unsigned below = level + 1;
	uint64_t slot = ((old & ADDRESS_MASK) - shadow->iova) >> HP_PAGE_SHIFT;

	if (level == LEVEL_PD && (entry & PAGES_64K))
		below = LEVEL_PT_64K;
	uint64_t key = key_of(address, below);
	if (slot >= shadow->counts[COUNT_USED] || node(shadow, slot)[NODE_KEY] != key)
		slot = find_slot(shadow, key);
	if (slot == NO_SLOT || node(shadow, slot)[NODE_EPOCH] != shadow->counts[COUNT_EPOCH]) {
		int error = visit(job, address, below, &slot);

		*result = 0;
		if (error == HP_TABLE_NOT_IN_MEMORY)
			return 0;
		if (error)
			return error;
	}
	*result = (shadow->iova + (slot << HP_PAGE_SHIFT)) | (entry & FLAGS_MASK);
	return 0;
}

static int sync_directory(struct job *job, const uint64_t *guest, unsigned level, uint64_t slot)
{
	const struct hp_shadow *shadow = job->shadow;
	uint64_t *table = shadow->tables + slot * TABLE_ENTRIES;
	uint64_t *copy = shadow->copies + slot * TABLE_ENTRIES;
	int compare = shadow->rescan || memcmp(guest, copy, HP_PAGE_SIZE);
	uint64_t last = 0; /* i915 names its scratch table hundreds of times in a row */
	uint64_t last_result = 0;

	for (unsigned i = 0; i < TABLE_ENTRIES; i++) {
		uint64_t was = copy[i];
		uint64_t old = table[i];
		uint64_t entry = compare ? __atomic_load_n(guest + i, __ATOMIC_RELAXED) : was;
		int fresh = entry != was || shadow->rescan;
		uint64_t result = old;

		if (names_table(entry, level)) {
			if (entry != last) {
				int error = translate_table(job, entry, level, old, &last_result);

				if (error)
					return error;
				last = entry;
			}
			result = last_result;
		} else if (fresh) {
			result = translate_page(shadow, entry,
						level == LEVEL_PDP ? PDP_SHIFT : PD_SHIFT);
		}
		if (result != old)
			__atomic_store_n(table + i, result, __ATOMIC_RELEASE);
		if (fresh) {
			copy[i] = entry;
			shadow->counts[COUNT_TRANSLATED]++;
		}
	}
	return 0;
}

static void sync_page_table(struct job *job, const uint64_t *guest, unsigned level, uint64_t slot)
{
	const struct hp_shadow *shadow = job->shadow;
	uint64_t *table = shadow->tables + slot * TABLE_ENTRIES;
	uint64_t *copy = shadow->copies + slot * TABLE_ENTRIES;
	unsigned step = level == LEVEL_PT_64K ? STEP_64K : 1;
	unsigned shift = level == LEVEL_PT_64K ? SHIFT_64K : PT_SHIFT;

	if (step == 1 && !shadow->rescan && !memcmp(guest, copy, HP_PAGE_SIZE))
		return;
	for (unsigned i = 0; i < TABLE_ENTRIES; i += step) {
		uint64_t entry = __atomic_load_n(guest + i, __ATOMIC_RELAXED);

		if (entry == copy[i] && !shadow->rescan)
			continue;
		copy[i] = entry;
		__atomic_store_n(table + i, translate_page(shadow, entry, shift), __ATOMIC_RELEASE);
		shadow->counts[COUNT_TRANSLATED]++;
	}
}

/* Bring the table at guest physical `address` up to date; `slot` is its own, or NO_SLOT. */
static int visit(struct job *job, uint64_t address, unsigned level, uint64_t *slot)
{
	const struct hp_shadow *shadow = job->shadow;
	struct hp_memory_at found = hp_find(job->memory, address, &job->range);

	if (!(found.flags & HP_READABLE))
		return HP_TABLE_NOT_IN_MEMORY;
	if (*slot == NO_SLOT)
		*slot = take_slot(shadow, key_of(address, level));
	if (*slot == NO_SLOT)
		return HP_TABLES_FULL;
	/* A page of the guest is 8-byte aligned on the host too. */
	const uint64_t *guest = (const void *)found.host;

	node(shadow, *slot)[NODE_EPOCH] = shadow->counts[COUNT_EPOCH];
	shadow->counts[COUNT_VISITED]++;
	if (level < LEVEL_PT)
		return sync_directory(job, guest, level, *slot);
	sync_page_table(job, guest, level, *slot);
	return 0;
}

int64_t hp_shadow_sync(const struct hp_memory *memory, const struct hp_shadow *shadow,
		       uint64_t pml4)
{
	struct job job = {.memory = memory, .shadow = shadow};
	uint64_t address = pml4 & ADDRESS_MASK;
	uint64_t slot = find_slot(shadow, key_of(address, LEVEL_PML4));

	if (pml4 & BEYOND_MASK)
		return HP_BEYOND_39_BITS;
	shadow->counts[COUNT_EPOCH]++;
	int error = visit(&job, address, LEVEL_PML4, &slot);
	return error ? error : (int64_t)slot;
}

static void mark(const struct hp_shadow *shadow, uint64_t slot)
{
	uint64_t *row = node(shadow, slot);
	unsigned level = (unsigned)key_level(row[NODE_KEY]);

	if (row[NODE_EPOCH] == shadow->counts[COUNT_EPOCH])
		return;
	row[NODE_EPOCH] = shadow->counts[COUNT_EPOCH];
	if (level >= LEVEL_PT)
		return;
	uint64_t last = 0;
	for (unsigned i = 0; i < TABLE_ENTRIES; i++) {
		uint64_t entry = shadow->tables[slot * TABLE_ENTRIES + i];

		if (entry == last || !names_table(entry, level))
			continue;
		last = entry;
		mark(shadow, ((entry & ADDRESS_MASK) - shadow->iova) >> HP_PAGE_SHIFT);
	}
}

void hp_shadow_keep(const struct hp_shadow *shadow, const uint64_t *roots, size_t count)
{
	uint64_t epoch = ++shadow->counts[COUNT_EPOCH];

	for (size_t i = 0; i < count; i++) {
		uint64_t slot = find_slot(shadow, key_of(roots[i] & ADDRESS_MASK, LEVEL_PML4));

		if (slot != NO_SLOT)
			mark(shadow, slot);
	}
	memset(shadow->index, 0, shadow->index_size * sizeof(*shadow->index));
	for (uint64_t slot = 0; slot < shadow->counts[COUNT_USED]; slot++) {
		uint64_t *row = node(shadow, slot);

		if (!(row[NODE_KEY] & 1))
			continue;
		if (row[NODE_EPOCH] == epoch) {
			enter_slot(shadow, row[NODE_KEY], slot);
			continue;
		}
		uint64_t *head = shadow->counts + free_list(key_level(row[NODE_KEY]));

		row[NODE_KEY] = *head << 1;
		*head = slot + 1;
	}
}
