/* Blocks: some OWords in a row, for the thread as a whole. Its channels do not count. */
#include "eu.h"

enum { OWORD = 16, OWORD_DWORDS = 4 };

/* Of the header's base, what block messages leave out. */
enum { NO_BASE_BITS = 0x3ff };

/* Dwords by the code of a block's size; codes 0 and 1 are one OWord in the low or high half. */
static const uint32_t block_dwords[8] = {4, 4, 8, 16, 32};

static uint32_t first_dword(uint32_t code)
{
	return code == 1 ? OWORD_DWORDS : 0;
}

static uint32_t grfs_of(uint32_t dwords)
{
	return (dwords + EU_GRF_DWORDS - 1) / EU_GRF_DWORDS;
}

static void read_dwords(struct eu_worker *worker, const struct eu_target *target, uint64_t offset,
			uint32_t dwords, uint32_t *data)
{
	for (uint32_t n = 0; n < dwords; n++)
		data[n] = eu_fetch32(worker, target, offset + 4 * n);
}

static void write_dwords(struct eu_worker *worker, const struct eu_target *target,
			 uint64_t offset, uint32_t dwords, const uint32_t *data)
{
	for (uint32_t n = 0; n < dwords; n++)
		eu_put32(worker, target, offset + 4 * n, data[n]);
}

/* Header dword 2 counts `unit` bytes; of the stateless surface dword 5 is a base of whole KiB. */
static uint64_t block_offset(const struct eu_message *message, uint32_t unit)
{
	uint64_t offset = (uint64_t)(eu_header(message, 2) & ~(unit == 1 ? 3u : 0)) * unit;

	if (eu_is_stateless(message->descriptor & 0xff))
		offset += eu_header(message, 5) & ~(uint32_t)NO_BASE_BITS;
	return offset;
}

void eu_send_block_read(struct eu_message *message, uint32_t unit)
{
	uint32_t code = eu_field(message->descriptor, 8, 3);
	uint32_t dwords = block_dwords[code];
	struct eu_target target = eu_target_of(message);

	if (!dwords) {
		eu_illegal(message);
		return;
	}
	read_dwords(message->worker, &target, block_offset(message, unit), dwords,
		    eu_response(message, grfs_of(dwords)) + first_dword(code));
}

void eu_send_block_write(struct eu_message *message)
{
	uint32_t code = eu_field(message->descriptor, 8, 3);
	uint32_t dwords = block_dwords[code];
	struct eu_target target = eu_target_of(message);

	if (!dwords) {
		eu_illegal(message);
		return;
	}
	write_dwords(message->worker, &target, block_offset(message, OWORD), dwords,
		     eu_operand(message, 0) + first_dword(code));
}

/* Two blocks of 1 or 4 OWords, side by side in the registers. Channels 3:0 are the dwords of the
 * first, 7:4 those of the second. */
void eu_send_dual_block(struct eu_message *message, bool write)
{
	uint32_t code = eu_field(message->descriptor, 8, 2);
	uint32_t owords = code == 0 ? 1 : 4;
	struct eu_target target = eu_target_of(message);
	const uint32_t *offsets = eu_operand(message, 0);
	const uint32_t *given = eu_operand(message, 1);
	uint64_t base = block_offset(message, OWORD);

	if (code != 0 && code != 2) {
		eu_illegal(message);
		return;
	}
	uint32_t *data = write ? NULL : eu_response(message, owords);
	for (uint32_t n = 0; n < owords * EU_GRF_DWORDS; n++) {
		uint32_t channel = n % EU_GRF_DWORDS;
		uint64_t oword = (uint64_t)offsets[channel & 4u] + n / EU_GRF_DWORDS;
		uint64_t offset = base + oword * OWORD + channel % OWORD_DWORDS * 4;

		if (!(message->mask >> channel & 1))
			continue;
		if (write)
			eu_put32(message->worker, &target, offset, given[n]);
		else
			data[n] = eu_fetch32(message->worker, &target, offset);
	}
}

/* Registers that a thread keeps in its scratch space: bit 17 write, 16 by channel, 13:12 how many,
 * 11:0 where. */
void eu_send_scratch(struct eu_message *message)
{
	struct eu_worker *worker = message->worker;
	uint32_t descriptor = message->descriptor;
	uint32_t dwords = EU_GRF_DWORDS << eu_field(descriptor, 12, 2);
	uint64_t offset = (uint64_t)eu_field(descriptor, 0, 12) * EU_GRF;
	uint64_t base = eu_header(message, 5) & ~(uint32_t)NO_BASE_BITS;
	uint64_t room = worker->general_size > base ? worker->general_size - base : 0;
	uint64_t size = UINT64_C(1024) << eu_field(eu_header(message, 3), 0, 4);
	struct eu_target target = {
		.base = worker->general_base + base,
		.size = size < room ? size : room,
		.mask = UINT64_MAX,
	};
	bool write = eu_field(descriptor, 17, 1);
	bool by_channel = eu_field(descriptor, 16, 1);
	const uint32_t *given = eu_operand(message, 0);
	uint32_t *data = write ? NULL : eu_response(message, grfs_of(dwords));

	for (uint32_t n = 0; n < dwords; n++) {
		if (by_channel && !(message->mask >> n % EU_MAX_LANES & 1))
			continue;
		if (write)
			eu_put32(worker, &target, offset + 4 * n, given[n]);
		else
			data[n] = eu_fetch32(worker, &target, offset + 4 * n);
	}
}

/* Header dwords 1:0 are the address; aligned to an OWord, or bit 11: to a dword. */
void eu_send_global_block(struct eu_message *message, bool write)
{
	uint32_t code = eu_field(message->descriptor, 8, 3);
	uint32_t kind = eu_field(message->descriptor, 11, 2);
	uint32_t dwords = block_dwords[code];
	uint64_t address = (uint64_t)eu_header(message, 1) << 32 | eu_header(message, 0);

	if (!dwords || kind > 1 || (write && kind)) {
		eu_illegal(message);
		return;
	}
	address &= EU_ADDRESS_MASK & ~(kind ? UINT64_C(3) : UINT64_C(15));
	if (write)
		write_dwords(message->worker, &eu_global, address, dwords,
			     eu_operand(message, 0) + first_dword(code));
	else
		read_dwords(message->worker, &eu_global, address, dwords,
			    eu_response(message, grfs_of(dwords)) + first_dword(code));
}

void eu_block_read(struct eu_worker *worker, struct eu_group *group, uint32_t index,
		   uint64_t offset, uint32_t dwords, uint32_t *data)
{
	struct eu_target target = eu_target_at(worker, group, index);

	read_dwords(worker, &target, offset, dwords, data);
}

void eu_block_write(struct eu_worker *worker, struct eu_group *group, uint32_t index,
		    uint64_t offset, uint32_t dwords, const uint32_t *data)
{
	struct eu_target target = eu_target_at(worker, group, index);

	write_dwords(worker, &target, offset, dwords, data);
}

void eu_global_block_read(struct eu_worker *worker, uint64_t address, uint32_t dwords,
			  uint32_t *data)
{
	read_dwords(worker, &eu_global, address & EU_ADDRESS_MASK, dwords, data);
}

void eu_global_block_write(struct eu_worker *worker, uint64_t address, uint32_t dwords,
			   const uint32_t *data)
{
	write_dwords(worker, &eu_global, address & EU_ADDRESS_MASK, dwords, data);
}
