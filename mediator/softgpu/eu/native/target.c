/* What a binding table index stands for, as untyped and block messages see it. */
#include "eu.h"

/* Binding table indices with a meaning of their own. */
enum { LAST_ENTRY = 239, BINDLESS = 252, NON_COHERENT = 253, LOCAL = 254, COHERENT = 255 };

/* RENDER_SURFACE_STATE. */
enum { STATE_BYTES = 64, STATE_DWORDS = 16 };
enum { TYPE_BUFFER = 4, TYPE_STRUCTURED = 5, TYPE_SCRATCH = 6 };

/* The surface state at a GPU address: only buffers have bytes that these messages reach. */
static void decode_buffer(struct eu_worker *worker, uint64_t state, struct eu_buffer *buffer)
{
	uint32_t dwords[10];

	for (unsigned n = 0; n < 10; n++)
		dwords[n] = eu_load32(worker, state + 4 * n);
	uint32_t type = eu_field(dwords[0], 29, 3);

	buffer->known = 1;
	buffer->size = 0;
	buffer->base = 0;
	if (type < TYPE_BUFFER || type > TYPE_SCRATCH)
		return;
	uint64_t elements = (uint64_t)eu_field(dwords[3], 21, 11) << 21 |
			    (uint64_t)eu_field(dwords[2], 16, 14) << 7 | eu_field(dwords[2], 0, 7);

	buffer->size = (elements + 1) * (eu_field(dwords[3], 0, 18) + 1);
	buffer->base = ((uint64_t)dwords[9] << 32 | dwords[8]) & EU_ADDRESS_MASK;
}

const struct eu_buffer *eu_buffer_at(struct eu_worker *worker, uint32_t index)
{
	struct eu_buffer *buffer = &worker->buffers[index & 0xff];

	if (buffer->known)
		return buffer;
	if (eu_is_stateless(index)) {
		buffer->base = worker->general_base;
		buffer->size = worker->general_size;
		buffer->known = 1;
	} else if (index > LAST_ENTRY) {
		buffer->known = 1; /* of size 0 */
	} else {
		uint32_t entry = eu_load32(worker, worker->binding_table + 4 * index);

		decode_buffer(worker, worker->surface_base + (entry & ~(STATE_BYTES - 1u)), buffer);
	}
	return buffer;
}

struct eu_target eu_target_at(struct eu_worker *worker, struct eu_group *group, uint32_t index)
{
	struct eu_target target = {.local = NULL};

	if (index == LOCAL) {
		target.local = group->slm;
		target.size = group->slm ? group->slm_size : 0;
		target.mask = EU_LOCAL_MASK;
	} else {
		const struct eu_buffer *buffer = eu_buffer_at(worker, index);

		target.base = buffer->base;
		target.size = buffer->size;
		target.mask = UINT64_MAX;
	}
	return target;
}

struct eu_target eu_target_of(struct eu_message *message)
{
	struct eu_worker *worker = message->worker;
	uint32_t index = message->descriptor & 0xff;

	if (index != BINDLESS)
		return eu_target_at(worker, message->group, index);
	struct eu_target target = {.local = NULL};
	struct eu_buffer buffer;
	uint64_t offset = (uint64_t)(message->extended >> 12) * STATE_BYTES;

	if (offset + STATE_BYTES > worker->bindless_size)
		return target;
	decode_buffer(worker, worker->bindless_base + offset, &buffer);
	target.base = buffer.base;
	target.size = buffer.size;
	target.mask = UINT64_MAX;
	return target;
}

uint64_t eu_fetch(struct eu_worker *worker, const struct eu_target *target, uint64_t offset,
		  uint32_t size)
{
	uint64_t value = 0;

	offset &= target->mask;
	if (!eu_inside(target, offset, size))
		return 0;
	if (!target->local)
		return eu_load(worker, target->base + offset, size);
	memcpy(&value, target->local + offset, size);
	return value;
}

void eu_put(struct eu_worker *worker, const struct eu_target *target, uint64_t offset,
	    uint32_t size, uint64_t value)
{
	offset &= target->mask;
	if (!eu_inside(target, offset, size))
		return;
	if (target->local)
		memcpy(target->local + offset, &value, size);
	else
		eu_store(worker, target->base + offset, size, value);
}
