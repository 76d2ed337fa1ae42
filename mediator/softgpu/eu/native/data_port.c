/* The data ports: what their descriptors ask for. */
#include "eu.h"

enum { ALL_CHANNELS = 0xf, LANES_8 = 0xff, NO_BASE_BITS = 0x3ff };

/* Data port 1, by descriptor bits 18:14. */
enum {
	UNTYPED_READ = 0x01,
	UNTYPED_ATOMIC = 0x02,
	MEDIA_BLOCK_READ = 0x04,
	TYPED_READ = 0x05,
	TYPED_ATOMIC = 0x06,
	UNTYPED_WRITE = 0x09,
	MEDIA_BLOCK_WRITE = 0x0a,
	TYPED_WRITE = 0x0d,
	GLOBAL_SCATTERED_READ = 0x10,
	GLOBAL_READ = 0x11,
	GLOBAL_ATOMIC = 0x12,
	GLOBAL_BLOCK_READ = 0x14,
	GLOBAL_BLOCK_WRITE = 0x15,
	GLOBAL_WRITE = 0x19,
	GLOBAL_SCATTERED_WRITE = 0x1a,
	UNTYPED_FLOAT_ATOMIC = 0x1b,
	GLOBAL_FLOAT_ATOMIC = 0x1d
};

/* Data port 0, by descriptor bits 17:14; the read-only ports have the first four too. */
enum {
	BLOCK_READ = 0,
	UNALIGNED_BLOCK_READ = 1,
	DUAL_BLOCK_READ = 2,
	DWORD_SCATTERED_READ = 3,
	BYTE_SCATTERED_READ = 4,
	QWORD_SCATTERED_READ = 5,
	FENCE = 7,
	BLOCK_WRITE = 8,
	DUAL_BLOCK_WRITE = 10,
	DWORD_SCATTERED_WRITE = 11,
	BYTE_SCATTERED_WRITE = 12,
	QWORD_SCATTERED_WRITE = 13
};
enum { SAMPLER_CACHE_BLOCK_READ = 4, SAMPLER_CACHE_MEDIA_READ = 5 };

enum { OWORD = 16 };

/* Port 1's header: its dword 7 has the pixel mask. */
static uint32_t masked(const struct eu_message *message)
{
	return message->header ? message->mask & message->payload[7] : message->mask;
}

/* Where port 1's untyped messages of a stateless surface start. */
static uint32_t untyped_base(const struct eu_message *message)
{
	if (!eu_is_stateless(message->descriptor & 0xff))
		return 0;
	return eu_header(message, 5) & ~(uint32_t)NO_BASE_BITS;
}

/* Lanes of a mode that is 1 or 2; 0 for others. */
static uint32_t lanes_of_mode(uint32_t mode)
{
	return mode == 1 ? 16 : mode == 2 ? 8 : 0;
}

static void send_untyped(struct eu_message *message, bool write, bool global)
{
	uint32_t enabled = ~eu_field(message->descriptor, 8, 4) & ALL_CHANNELS;
	uint32_t count = lanes_of_mode(eu_field(message->descriptor, 12, 2));
	uint32_t grfs = count / EU_GRF_DWORDS;
	struct eu_target target = global ? eu_global : eu_target_of(message);
	struct eu_lanes lanes;

	if (!count) {
		eu_illegal(message);
		return;
	}
	if (global)
		eu_lanes64(&lanes, eu_operand(message, 0), count, masked(message));
	else
		eu_lanes32(&lanes, eu_operand(message, 0), count, masked(message), 1,
			   untyped_base(message));
	if (write)
		eu_write_channels(message->worker, &target, &lanes, enabled,
				  eu_operand(message, global ? 2 * grfs : grfs));
	else
		eu_read_channels(message->worker, &target, &lanes, enabled,
				 eu_response(message, grfs * (uint32_t)__builtin_popcount(enabled)));
}

/* Dword operations of 8 or 16 lanes, or global ones of 8 lanes and either size. */
static void send_atomic(struct eu_message *message, bool global, bool floating)
{
	uint32_t descriptor = message->descriptor;
	uint32_t operation = eu_field(descriptor, 8, 4);
	uint32_t bit = eu_field(descriptor, 12, 1);
	uint32_t count = global || bit ? 8 : 16;
	uint32_t size = global && bit && !floating ? 8 : 4;
	uint32_t data_grfs = count * size / EU_GRF;
	uint32_t address_grfs = count * (global ? 8 : 4) / EU_GRF;
	struct eu_target target = global ? eu_global : eu_target_of(message);
	struct eu_lanes lanes;
	void *old = NULL;

	if (eu_atomic_operands(operation, floating) < 0) {
		eu_illegal(message);
		return;
	}
	if (global)
		eu_lanes64(&lanes, eu_operand(message, 0), count, masked(message));
	else
		eu_lanes32(&lanes, eu_operand(message, 0), count, masked(message), 1,
			   untyped_base(message));
	if (eu_field(descriptor, 13, 1))
		old = eu_response(message, data_grfs);
	eu_atomic(message->worker, &target, &lanes, size, operation, floating,
		  eu_operand(message, address_grfs),
		  eu_operand(message, address_grfs + data_grfs), old);
}

static void send_global_scattered(struct eu_message *message, bool write)
{
	uint32_t descriptor = message->descriptor;
	uint32_t kind = eu_field(descriptor, 8, 2);
	uint32_t elements = 1u << eu_field(descriptor, 10, 2);
	uint32_t count = eu_field(descriptor, 12, 1) ? 16 : 8;
	uint32_t size = kind == 0 ? elements : kind == 1 ? 4 : 8;
	struct eu_lanes lanes;

	if (kind == 0)
		elements = 1;
	uint32_t grfs = elements * count * (kind == 2 ? 8 : 4) / EU_GRF;
	if (kind > 2 || (kind == 0 && size > 4) || grfs > 16) {
		eu_illegal(message);
		return;
	}
	eu_lanes64(&lanes, eu_operand(message, 0), count, message->mask);
	if (write)
		eu_write_elements(message->worker, &eu_global, &lanes, size, elements,
				  eu_operand(message, count * 8 / EU_GRF));
	else
		eu_read_elements(message->worker, &eu_global, &lanes, size, elements,
				 eu_response(message, grfs));
}

/* Port 0's scattered messages: offsets count `unit` bytes; the header's dword 2 is one more of
 * them, its dword 5 the base in the stateless surface, every bit of it. */
static void send_scattered(struct eu_message *message, bool write, uint32_t count, uint32_t unit,
			   uint32_t size, uint32_t elements)
{
	struct eu_target target = eu_target_of(message);
	uint32_t more = eu_header(message, 2) * unit;
	uint32_t grfs = elements * count * (size == 8 ? 8 : 4) / EU_GRF;
	struct eu_lanes lanes;

	if (eu_is_stateless(message->descriptor & 0xff))
		more += eu_header(message, 5);
	eu_lanes32(&lanes, eu_operand(message, 0), count, message->mask, unit, more);
	if (write)
		eu_write_elements(message->worker, &target, &lanes, size, elements,
				  eu_operand(message, count / EU_GRF_DWORDS));
	else
		eu_read_elements(message->worker, &target, &lanes, size, elements,
				 eu_response(message, grfs));
}

void eu_send_dword_scattered(struct eu_message *message, bool write)
{
	uint32_t mode = eu_field(message->descriptor, 8, 2);

	if (mode < 2)
		eu_illegal(message);
	else
		send_scattered(message, write, mode == 3 ? 16 : 8, 4, 4, 1);
}

static void send_byte_scattered(struct eu_message *message, bool write)
{
	uint32_t size = 1u << eu_field(message->descriptor, 10, 2);

	if (size > 4)
		eu_illegal(message);
	else
		send_scattered(message, write, eu_field(message->descriptor, 8, 1) ? 16 : 8, 1,
			       size, 1);
}

static void send_qword_scattered(struct eu_message *message, bool write)
{
	uint32_t elements = 1u << eu_field(message->descriptor, 10, 2);

	if (elements > 4)
		eu_illegal(message);
	else
		send_scattered(message, write, eu_field(message->descriptor, 8, 1) ? 16 : 8, 1, 8,
			       elements);
}

void eu_send_data_port_1(struct eu_message *message)
{
	switch (eu_field(message->descriptor, 14, 5)) {
	case UNTYPED_READ:
		send_untyped(message, 0, 0);
		break;
	case UNTYPED_WRITE:
		send_untyped(message, 1, 0);
		break;
	case GLOBAL_READ:
		send_untyped(message, 0, 1);
		break;
	case GLOBAL_WRITE:
		send_untyped(message, 1, 1);
		break;
	case UNTYPED_ATOMIC:
		send_atomic(message, 0, 0);
		break;
	case UNTYPED_FLOAT_ATOMIC:
		send_atomic(message, 0, 1);
		break;
	case GLOBAL_ATOMIC:
		send_atomic(message, 1, 0);
		break;
	case GLOBAL_FLOAT_ATOMIC:
		send_atomic(message, 1, 1);
		break;
	case TYPED_READ:
		eu_send_typed(message, 0);
		break;
	case TYPED_WRITE:
		eu_send_typed(message, 1);
		break;
	case TYPED_ATOMIC:
		eu_send_typed_atomic(message);
		break;
	case MEDIA_BLOCK_READ:
		eu_send_media_block(message, 0);
		break;
	case MEDIA_BLOCK_WRITE:
		eu_send_media_block(message, 1);
		break;
	case GLOBAL_SCATTERED_READ:
		send_global_scattered(message, 0);
		break;
	case GLOBAL_SCATTERED_WRITE:
		send_global_scattered(message, 1);
		break;
	case GLOBAL_BLOCK_READ:
		eu_send_global_block(message, 0);
		break;
	case GLOBAL_BLOCK_WRITE:
		eu_send_global_block(message, 1);
		break;
	default:
		eu_illegal(message);
	}
}

void eu_send_data_port_0(struct eu_message *message)
{
	if (eu_field(message->descriptor, 18, 1)) {
		eu_send_scratch(message);
		return;
	}
	switch (eu_field(message->descriptor, 14, 4)) {
	case BLOCK_READ:
		eu_send_block_read(message, OWORD);
		break;
	case UNALIGNED_BLOCK_READ:
		eu_send_block_read(message, 1);
		break;
	case BLOCK_WRITE:
		eu_send_block_write(message);
		break;
	case DUAL_BLOCK_READ:
		eu_send_dual_block(message, 0);
		break;
	case DUAL_BLOCK_WRITE:
		eu_send_dual_block(message, 1);
		break;
	case DWORD_SCATTERED_READ:
		eu_send_dword_scattered(message, 0);
		break;
	case DWORD_SCATTERED_WRITE:
		eu_send_dword_scattered(message, 1);
		break;
	case BYTE_SCATTERED_READ:
		send_byte_scattered(message, 0);
		break;
	case BYTE_SCATTERED_WRITE:
		send_byte_scattered(message, 1);
		break;
	case QWORD_SCATTERED_READ:
		send_qword_scattered(message, 0);
		break;
	case QWORD_SCATTERED_WRITE:
		send_qword_scattered(message, 1);
		break;
	case FENCE:
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		break;
	default:
		eu_illegal(message);
	}
}

void eu_send_read_only_port(struct eu_message *message)
{
	switch (eu_field(message->descriptor, 14, 4)) {
	case BLOCK_READ:
		eu_send_block_read(message, OWORD);
		break;
	case UNALIGNED_BLOCK_READ:
	case SAMPLER_CACHE_BLOCK_READ:
		eu_send_block_read(message, 1);
		break;
	case SAMPLER_CACHE_MEDIA_READ:
		eu_send_media_block(message, 0);
		break;
	case DUAL_BLOCK_READ:
		eu_send_dual_block(message, 0);
		break;
	case DWORD_SCATTERED_READ:
		eu_send_dword_scattered(message, 0);
		break;
	default:
		eu_illegal(message);
	}
}
