/* What the message routines share. They allocate nothing and call nobody back. A guest's processors
 * and other host threads may read and write the guest's memory at any time.
 */
#ifndef VGPU_EU_H
#define VGPU_EU_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "hotpath.h"

#include "abi.h"

enum { EU_GRF = 32, EU_GRF_DWORDS = 8, EU_MAX_LANES = 16 };

/* GRFs of the longest payload (15 + 15) and of the longest that a descriptor could ask for. */
enum { EU_MESSAGE_GRFS = 48 };

/* In units of costs.py: what a render target write costs of the budget, beyond a message's share. Each
 * of its lanes converts a texel. */
enum { EU_TARGET_COST = 2048 };

#define EU_ADDRESS_MASK ((UINT64_C(1) << 48) - 1)
#define EU_NOWHERE UINT64_MAX

static inline uint32_t eu_field(uint32_t word, unsigned low, unsigned bits)
{
	return word >> low & ((1u << bits) - 1);
}

/* A message on its way. */
struct eu_message {
	struct eu_worker *worker;
	struct eu_group *group;
	struct eu_thread *thread;
	uint32_t sfid;
	uint32_t descriptor;
	uint32_t extended;
	uint32_t mask;
	uint32_t header; /* GRFs: 1 or 0 */
	uint32_t grfs; /* of the payload, both parts */
	uint32_t response_grfs;
	uint8_t *response;
	uint32_t spared; /* `spare` is the response */
	_Alignas(64) uint32_t payload[EU_MESSAGE_GRFS * EU_GRF_DWORDS]; /* zero past `grfs` */
	_Alignas(64) uint32_t spare[EU_MESSAGE_GRFS * EU_GRF_DWORDS];
};

/* Where `grfs` of response can be written. */
uint32_t *eu_response(struct eu_message *message, uint32_t grfs);

/* What follows the header, `skip` GRFs on. */
static inline const uint32_t *eu_operand(const struct eu_message *message, uint32_t skip)
{
	return message->payload + (message->header + skip) * EU_GRF_DWORDS;
}

/* Dword `n` of the header; 0 without one. */
static inline uint32_t eu_header(const struct eu_message *message, uint32_t n)
{
	return message->header ? message->payload[n] : 0;
}

/* The message is none that this GPU has. */
void eu_illegal(struct eu_message *message);

/* What a message reads and writes: `size` bytes of the shared local memory or of the GPU's. Bits of
 * an offset outside `mask` do not count. */
struct eu_target {
	uint8_t *local;
	uint64_t base;
	uint64_t size;
	uint64_t mask;
};

/* Of the shared local memory; compilers address it from 0x10000000 on too. */
enum { EU_LOCAL_MASK = 0xffff };

/* All of the address space. */
static const struct eu_target eu_global = {
	.local = NULL, .base = 0, .size = UINT64_MAX, .mask = UINT64_MAX};

/* The target of a binding table index other than 252. */
struct eu_target eu_target_at(struct eu_worker *worker, struct eu_group *group, uint32_t index);

/* The target of a message, which may be bindless. */
struct eu_target eu_target_of(struct eu_message *message);

/* Whether the message goes to the stateless surface. */
static inline int eu_is_stateless(uint32_t index)
{
	return index == 253 || index == 255;
}

/* The TLB's place for a page. */
static inline uint64_t eu_slot(uint64_t page)
{
	return (page + (page >> 10) * EU_TLB_SPREAD) % EU_TLB_ENTRIES;
}

void eu_record_fault(struct eu_worker *worker, uint32_t kind, uint64_t address, bool write);
const uint8_t *eu_fill_read(struct eu_worker *worker, uint64_t address);

/* For reading, of an address below 2^48. */
static inline const uint8_t *eu_read_place(struct eu_worker *worker, uint64_t address)
{
	uint64_t page = address >> HP_PAGE_SHIFT;
	const struct eu_translation *entry = &worker->reads[eu_slot(page)];

	if (entry->page == page)
		return (const uint8_t *)(uintptr_t)(address + entry->delta);
	return eu_fill_read(worker, address);
}

/* For writing: where it is on the host (NULL: not at all), and for the dirty log in the guest. */
struct eu_place {
	uint8_t *host;
	uint64_t physical;
};

struct eu_place eu_fill_write(struct eu_worker *worker, uint64_t address, bool reads_too);

/* For writing (and reading, if `reads_too`), of an address below 2^48. */
static inline struct eu_place eu_write_place(struct eu_worker *worker, uint64_t address,
					     bool reads_too)
{
	uint64_t page = address >> HP_PAGE_SHIFT;
	const struct eu_translation *entry = &worker->writes[eu_slot(page)];
	struct eu_place place = {(uint8_t *)(uintptr_t)(address + entry->delta), 0};

	if (entry->page == page)
		return place;
	return eu_fill_write(worker, address, reads_too);
}

static inline void eu_written(struct eu_worker *worker, struct eu_place place)
{
	if (worker->memory->dirty)
		hp_mark(worker->memory, place.physical);
}

uint32_t eu_load_pieces(struct eu_worker *worker, uint64_t address);
void eu_store_pieces(struct eu_worker *worker, uint64_t address, uint32_t value);

static inline uint32_t eu_load32(struct eu_worker *worker, uint64_t address)
{
	if (address % 4)
		return eu_load_pieces(worker, address);
	const uint8_t *host = eu_read_place(worker, address & EU_ADDRESS_MASK);

	return host ? __atomic_load_n((const uint32_t *)(const void *)host, __ATOMIC_RELAXED) : 0;
}

static inline void eu_store32(struct eu_worker *worker, uint64_t address, uint32_t value)
{
	if (address % 4) {
		eu_store_pieces(worker, address, value);
		return;
	}
	struct eu_place place = eu_write_place(worker, address & EU_ADDRESS_MASK, 0);

	if (!place.host)
		return;
	__atomic_store_n((uint32_t *)(void *)place.host, value, __ATOMIC_RELAXED);
	eu_written(worker, place);
}

/* Whether `bytes` at `offset` lie inside. */
static inline int eu_inside(const struct eu_target *target, uint64_t offset, uint64_t bytes)
{
	return bytes <= target->size && offset <= target->size - bytes;
}

/* A dword of a target: 0 outside. */
static inline uint32_t eu_fetch32(struct eu_worker *worker, const struct eu_target *target,
				  uint64_t offset)
{
	uint32_t value;

	offset &= target->mask;
	if (!eu_inside(target, offset, sizeof(value)))
		return 0;
	if (!target->local)
		return eu_load32(worker, target->base + offset);
	memcpy(&value, target->local + offset, sizeof(value));
	return value;
}

/* Write a dword of a target: nothing happens outside. */
static inline void eu_put32(struct eu_worker *worker, const struct eu_target *target,
			    uint64_t offset, uint32_t value)
{
	offset &= target->mask;
	if (!eu_inside(target, offset, sizeof(value)))
		return;
	if (target->local)
		memcpy(target->local + offset, &value, sizeof(value));
	else
		eu_store32(worker, target->base + offset, value);
}

/* The same for `size` 1, 2, 4 or 8 bytes; all of them are inside, or none is touched. */
uint64_t eu_fetch(struct eu_worker *worker, const struct eu_target *target, uint64_t offset,
		  uint32_t size);
void eu_put(struct eu_worker *worker, const struct eu_target *target, uint64_t offset,
	    uint32_t size, uint64_t value);

/* Offsets and addresses of the lanes, as all routines take them. */
struct eu_lanes {
	uint32_t count; /* 8 or 16 */
	uint32_t mask;
	uint64_t at[EU_MAX_LANES];
};

/* Of dwords, each times `scale`, plus `more`, modulo 2^32. */
void eu_lanes32(struct eu_lanes *lanes, const uint32_t *offsets, uint32_t count, uint32_t mask,
		uint32_t scale, uint32_t more);

/* Of qwords: 48 bits count. */
void eu_lanes64(struct eu_lanes *lanes, const void *addresses, uint32_t count, uint32_t mask);

/* The shapes of messages. `enabled`: channels, x is bit 0. */
void eu_read_channels(struct eu_worker *worker, const struct eu_target *target,
		      const struct eu_lanes *lanes, uint32_t enabled, uint32_t *data);
void eu_write_channels(struct eu_worker *worker, const struct eu_target *target,
		       const struct eu_lanes *lanes, uint32_t enabled, const uint32_t *data);
void eu_read_elements(struct eu_worker *worker, const struct eu_target *target,
		      const struct eu_lanes *lanes, uint32_t size, uint32_t elements,
		      uint32_t *data);
void eu_write_elements(struct eu_worker *worker, const struct eu_target *target,
		       const struct eu_lanes *lanes, uint32_t size, uint32_t elements,
		       const uint32_t *data);
void eu_atomic(struct eu_worker *worker, const struct eu_target *target,
	       const struct eu_lanes *lanes, uint32_t size, uint32_t operation, uint32_t floating,
	       const void *first, const void *second, void *old);

/* How many operands an atomic operation takes; -1: there is no such operation. */
int eu_atomic_operands(uint32_t operation, uint32_t floating);

/* The pixel of a channel, in the block at `x`, `y`: two by two, four of these in a square, two
 * squares side by side. */
static inline uint32_t eu_pixel_x(uint32_t x, uint32_t channel)
{
	return x + 4 * (channel >> 4) + 2 * (channel >> 2 & 1) + (channel & 1);
}

static inline uint32_t eu_pixel_y(uint32_t y, uint32_t channel)
{
	return y + 2 * (channel >> 3 & 1) + (channel >> 1 & 1);
}

/* Shared functions, by SFID. */
void eu_send_data_port_0(struct eu_message *message);
void eu_send_data_port_1(struct eu_message *message);
void eu_send_read_only_port(struct eu_message *message);
void eu_send_gateway(struct eu_message *message);
void eu_send_sampler(struct eu_message *message);
void eu_send_render_target(struct eu_message *message);

/* Data port 0's block messages, which the read-only ports have too. */
void eu_send_block_read(struct eu_message *message, uint32_t unit);
void eu_send_block_write(struct eu_message *message);
void eu_send_dual_block(struct eu_message *message, bool write);
void eu_send_dword_scattered(struct eu_message *message, bool write);
void eu_send_scratch(struct eu_message *message);

/* Data port 1's messages of surfaces with texels. */
void eu_send_typed(struct eu_message *message, bool write);
void eu_send_typed_atomic(struct eu_message *message);
void eu_send_media_block(struct eu_message *message, bool write);
void eu_send_global_block(struct eu_message *message, bool write);

#endif
