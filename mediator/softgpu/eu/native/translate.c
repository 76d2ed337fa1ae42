/* Translation: the software TLB and what goes past it, a walk at a time. */
#include "eu.h"

void eu_record_fault(struct eu_worker *worker, uint32_t kind, uint64_t address, bool write)
{
	if (worker->fault)
		return;
	worker->fault = kind;
	worker->fault_write = (uint32_t)write;
	worker->fault_address = address;
}

void eu_forget(struct eu_worker *worker)
{
	_Static_assert(sizeof(struct hp_walker) <= sizeof(worker->walk), "a walk fits");

	for (unsigned n = 0; n < EU_TLB_ENTRIES; n++) {
		worker->reads[n].page = EU_NOWHERE;
		worker->writes[n].page = EU_NOWHERE;
	}
	memset(worker->walk, 0, sizeof(worker->walk));
	memset(worker->buffers, 0, sizeof(worker->buffers));
	worker->walker = worker->walk;
	worker->fault = 0;
	worker->fault_write = 0;
	worker->fault_address = 0;
}

/* In units of costs.py: a walk, whose tables may lie anywhere in the guest's memory. */
enum { WALK_COST = 256 };

/* Where the page tables say that `address` is; 0 after a fault. */
static int walk(struct eu_worker *worker, uint64_t address, bool write, uint64_t *physical,
		int32_t *writable)
{
	uint64_t within = address & worker->space->mask;
	int error = hp_walk(worker->memory, worker->space, worker->walker, within, physical,
			    writable);

	worker->statistics[EU_WALKS]++;
	worker->budget -= WALK_COST;
	if (!error)
		return 1;
	eu_record_fault(worker, (uint32_t)-error, within, write);
	return 0;
}

/* Guest memory at `physical` that allows all of `needed`; its host is NULL after a fault. */
static struct hp_memory_at find(struct eu_worker *worker, uint64_t address, bool write,
				uint64_t physical, unsigned needed)
{
	struct hp_walker *walker = worker->walker;
	struct hp_memory_at found = hp_find(worker->memory, physical, &walker->range);

	if (found.host && (found.flags & needed) == needed)
		return found;
	eu_record_fault(worker, -HP_PAGE_NOT_IN_MEMORY, address & worker->space->mask, write);
	found.host = NULL;
	return found;
}

static void remember(struct eu_translation *entries, uint64_t address, const uint8_t *host)
{
	uint64_t page = address >> HP_PAGE_SHIFT;
	struct eu_translation *entry = &entries[eu_slot(page)];

	entry->page = page;
	entry->delta = (uint64_t)(uintptr_t)host - address;
}

static int knows(const struct eu_translation *entries, uint64_t page)
{
	return entries[eu_slot(page)].page == page;
}

/* Pages that are found beside one, in a page table that has just been found. */
enum { AHEAD = 15, TABLE_PAGES = 512 };

/* Who goes from page to page will want those behind `address` too. What cannot be had is left to
 * the access that asks for it. */
static void look_ahead(struct eu_worker *worker, struct eu_translation *entries, uint64_t address,
		       bool write)
{
	const unsigned both = HP_READABLE | HP_WRITABLE;
	const unsigned needed = write ? both : HP_READABLE;
	struct hp_walker *walker = worker->walker;
	uint64_t page = address >> HP_PAGE_SHIFT;
	uint64_t last = page | (TABLE_PAGES - 1);

	if (!page || !knows(entries, page - 1))
		return;
	if (last > page + AHEAD)
		last = page + AHEAD;
	while (++page <= last && !knows(entries, page)) {
		uint64_t at = page << HP_PAGE_SHIFT;
		uint64_t physical;
		int32_t writable;

		if (at > worker->space->mask || hp_walk(worker->memory, worker->space, walker, at,
							&physical, &writable))
			return;
		struct hp_memory_at found = hp_find(worker->memory, physical, &walker->range);
		if (!found.host || (found.flags & needed) != needed || (write && !writable))
			return;
		remember(entries, at, found.host);
	}
}

const uint8_t *eu_fill_read(struct eu_worker *worker, uint64_t address)
{
	uint64_t physical;
	int32_t writable;

	if (!walk(worker, address, 0, &physical, &writable))
		return NULL;
	struct hp_memory_at found = find(worker, address, 0, physical, HP_READABLE);
	if (found.host) {
		remember(worker->reads, address, found.host);
		look_ahead(worker, worker->reads, address, 0);
	}
	return found.host;
}

struct eu_place eu_fill_write(struct eu_worker *worker, uint64_t address, bool reads_too)
{
	const unsigned both = HP_READABLE | HP_WRITABLE;
	struct eu_place place = {.host = NULL};
	int32_t writable;

	if (!walk(worker, address, 1, &place.physical, &writable))
		return place;
	if (!writable) {
		worker->statistics[EU_DISCARDED_WRITES]++;
		return place;
	}
	struct hp_memory_at found =
		find(worker, address, 1, place.physical, reads_too ? both : HP_WRITABLE);
	place.host = found.host;
	if (found.host && found.flags == both && !worker->memory->dirty) {
		remember(worker->writes, address, found.host);
		look_ahead(worker, worker->writes, address, 1);
	}
	return place;
}

const uint8_t *eu_readable(struct eu_worker *worker, uint64_t address)
{
	return eu_read_place(worker, address & EU_ADDRESS_MASK);
}

uint8_t *eu_writable(struct eu_worker *worker, uint64_t address)
{
	if (worker->memory->dirty)
		return NULL;
	return eu_write_place(worker, address & EU_ADDRESS_MASK, 0).host;
}

/* Bytes from `address` on that share a page. */
static uint32_t piece(uint64_t address, uint32_t size)
{
	uint32_t room = HP_PAGE_SIZE - (uint32_t)(address % HP_PAGE_SIZE);

	return size < room ? size : room;
}

uint64_t eu_load(struct eu_worker *worker, uint64_t address, uint32_t size)
{
	uint8_t bytes[8] = {0};
	uint64_t value;
	uint32_t count;

	if (size == 4 && address % 4 == 0)
		return eu_load32(worker, address);
	for (uint32_t done = 0; done < size; done += count) {
		uint64_t at = (address + done) & EU_ADDRESS_MASK;
		const uint8_t *host = eu_read_place(worker, at);

		count = piece(at, size - done);
		if (host)
			memcpy(bytes + done, host, count);
	}
	memcpy(&value, bytes, sizeof(value));
	return value;
}

void eu_store(struct eu_worker *worker, uint64_t address, uint32_t size, uint64_t value)
{
	uint8_t bytes[8];
	uint32_t count;

	memcpy(bytes, &value, sizeof(bytes));
	for (uint32_t done = 0; done < size; done += count) {
		uint64_t at = (address + done) & EU_ADDRESS_MASK;
		struct eu_place place = eu_write_place(worker, at, 0);

		count = piece(at, size - done);
		if (!place.host)
			continue;
		memcpy(place.host, bytes + done, count);
		eu_written(worker, place);
	}
}

uint32_t eu_load_pieces(struct eu_worker *worker, uint64_t address)
{
	return (uint32_t)eu_load(worker, address, sizeof(uint32_t));
}

void eu_store_pieces(struct eu_worker *worker, uint64_t address, uint32_t value)
{
	eu_store(worker, address, sizeof(value), value);
}
