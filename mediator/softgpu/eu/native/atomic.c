/* Atomic operations: on the GPU's memory atomic against other host threads and the guest. */
#include "eu.h"

enum operation {
	AND = 1,
	OR,
	XOR,
	MOVE,
	INCREMENT,
	DECREMENT,
	ADD,
	SUBTRACT,
	REVERSE_SUBTRACT,
	SIGNED_MAXIMUM,
	SIGNED_MINIMUM,
	MAXIMUM,
	MINIMUM,
	COMPARE_WRITE,
	PRE_DECREMENT
};
enum float_operation { FLOAT_MAXIMUM = 1, FLOAT_MINIMUM, FLOAT_COMPARE_WRITE };

struct operands {
	uint32_t size;
	uint32_t operation;
	uint32_t floating;
	uint64_t first;
	uint64_t second;
};

int eu_atomic_operands(uint32_t operation, uint32_t floating)
{
	if (floating)
		return operation == FLOAT_COMPARE_WRITE ? 2 :
		       operation == FLOAT_MAXIMUM || operation == FLOAT_MINIMUM ? 1 : -1;
	switch (operation) {
	case INCREMENT:
	case DECREMENT:
	case PRE_DECREMENT:
		return 0;
	case COMPARE_WRITE:
		return 2;
	default:
		return operation >= AND && operation <= PRE_DECREMENT ? 1 : -1;
	}
}

static int is_nan(uint32_t bits)
{
	return (bits & 0x7fffffff) > 0x7f800000;
}

/* An integer in the order of the floats; both zeros are 0. The host's float modes are not asked. */
static int64_t order(uint32_t bits)
{
	int64_t magnitude = bits & 0x7fffffff;

	return bits >> 31 ? -magnitude : magnitude;
}

static uint32_t apply_float(const struct operands *given, uint32_t old)
{
	uint32_t first = (uint32_t)given->first;

	if (given->operation == FLOAT_COMPARE_WRITE) {
		int same = !is_nan(old) && !is_nan(first) && order(old) == order(first);

		return same ? (uint32_t)given->second : old;
	}
	if (is_nan(old))
		return first;
	if (is_nan(first))
		return old;
	if (given->operation == FLOAT_MAXIMUM)
		return order(first) > order(old) ? first : old;
	return order(first) < order(old) ? first : old;
}

static int64_t as_signed(const struct operands *given, uint64_t value)
{
	return given->size == 4 ? (int32_t)value : (int64_t)value;
}

/* The new value, of which the low `size` bytes count. */
static uint64_t apply(const struct operands *given, uint64_t old)
{
	uint64_t first = given->first;

	if (given->floating)
		return apply_float(given, (uint32_t)old);
	switch (given->operation) {
	case AND:
		return old & first;
	case OR:
		return old | first;
	case XOR:
		return old ^ first;
	case MOVE:
		return first;
	case INCREMENT:
		return old + 1;
	case DECREMENT:
	case PRE_DECREMENT:
		return old - 1;
	case ADD:
		return old + first;
	case SUBTRACT:
		return old - first;
	case REVERSE_SUBTRACT:
		return first - old;
	case SIGNED_MAXIMUM:
		return as_signed(given, old) > as_signed(given, first) ? old : first;
	case SIGNED_MINIMUM:
		return as_signed(given, old) < as_signed(given, first) ? old : first;
	case MAXIMUM:
		return old > first ? old : first;
	case MINIMUM:
		return old < first ? old : first;
	default: /* COMPARE_WRITE */
		return old == first ? given->second : old;
	}
}

/* What the message gives back. */
static uint64_t returned(const struct operands *given, uint64_t old)
{
	return !given->floating && given->operation == PRE_DECREMENT ? old - 1 : old;
}

static uint64_t exchange4(void *host, const struct operands *given)
{
	uint32_t *place = host;
	uint32_t old = __atomic_load_n(place, __ATOMIC_RELAXED);

	while (!__atomic_compare_exchange_n(place, &old, (uint32_t)apply(given, old), 1,
					    __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		;
	return old;
}

static uint64_t exchange8(void *host, const struct operands *given)
{
	uint64_t *place = host;
	uint64_t old = __atomic_load_n(place, __ATOMIC_RELAXED);

	while (!__atomic_compare_exchange_n(place, &old, apply(given, old), 1, __ATOMIC_SEQ_CST,
					    __ATOMIC_RELAXED))
		;
	return old;
}

/* On a page that is read-only nothing changes; `address` is a multiple of the size, since an
 * exchange across two lines of the cache may stop the host's other processors. */
static uint64_t change_global(struct eu_worker *worker, uint64_t address,
			      const struct operands *given)
{
	struct eu_place place = eu_write_place(worker, address, 1);

	if (!place.host)
		return eu_load(worker, address, given->size);
	uint64_t old = given->size == 4 ? exchange4(place.host, given) :
					  exchange8(place.host, given);
	eu_written(worker, place);
	return old;
}

static uint64_t change_local(uint8_t *host, const struct operands *given)
{
	uint64_t old = 0;

	memcpy(&old, host, given->size);
	uint64_t new = apply(given, old);
	memcpy(host, &new, given->size);
	return old;
}

static uint64_t change(struct eu_worker *worker, const struct eu_target *target, uint64_t offset,
		       const struct operands *given)
{
	uint64_t mask = EU_ADDRESS_MASK & -(uint64_t)given->size;

	offset &= target->mask;
	if (!eu_inside(target, offset, given->size))
		return 0;
	if (target->local)
		return returned(given, change_local(target->local + offset, given));
	return returned(given, change_global(worker, (target->base + offset) & mask, given));
}

static uint64_t operand(const void *operands, uint32_t lane, uint32_t size)
{
	uint64_t value = 0;

	if (operands)
		memcpy(&value, (const uint8_t *)operands + lane * size, size);
	return value;
}

void eu_atomic(struct eu_worker *worker, const struct eu_target *target,
	       const struct eu_lanes *lanes, uint32_t size, uint32_t operation, uint32_t floating,
	       const void *first, const void *second, void *old)
{
	for (uint32_t lane = 0; lane < lanes->count; lane++) {
		struct operands given = {
			.size = size,
			.operation = operation,
			.floating = floating,
			.first = operand(first, lane, size),
			.second = operand(second, lane, size),
		};

		if (!(lanes->mask >> lane & 1))
			continue;
		uint64_t found = change(worker, target,
					lanes->at[lane] & -(uint64_t)size, &given);
		if (old)
			memcpy((uint8_t *)old + lane * size, &found, size);
	}
}

void eu_untyped_atomic(struct eu_worker *worker, struct eu_group *group, uint32_t index,
		       const uint32_t *offsets, uint32_t lanes, uint32_t operation,
		       uint32_t floating, uint32_t mask, const void *first, const void *second,
		       void *old)
{
	struct eu_target target = eu_target_at(worker, group, index);
	struct eu_lanes at;

	eu_lanes32(&at, offsets, lanes, mask, 1, 0);
	eu_atomic(worker, &target, &at, 4, operation, floating, first, second, old);
}

void eu_global_atomic(struct eu_worker *worker, const uint64_t *addresses, uint32_t lanes,
		      uint32_t size, uint32_t operation, uint32_t floating, uint32_t mask,
		      const void *first, const void *second, void *old)
{
	struct eu_lanes at;

	eu_lanes64(&at, addresses, lanes, mask);
	eu_atomic(worker, &eu_global, &at, size, operation, floating, first, second, old);
}
