/* Untyped and scattered accesses by name, for compiled code. */
#include "eu.h"

static uint32_t first_channels(uint32_t channels)
{
	return (1u << channels) - 1;
}

void eu_untyped_read(struct eu_worker *worker, struct eu_group *group, uint32_t index,
		     const uint32_t *offsets, uint32_t lanes, uint32_t channels, uint32_t mask,
		     uint32_t *data)
{
	struct eu_target target = eu_target_at(worker, group, index);
	struct eu_lanes at;

	eu_lanes32(&at, offsets, lanes, mask, 1, 0);
	eu_read_channels(worker, &target, &at, first_channels(channels), data);
}

void eu_untyped_write(struct eu_worker *worker, struct eu_group *group, uint32_t index,
		      const uint32_t *offsets, uint32_t lanes, uint32_t channels, uint32_t mask,
		      const uint32_t *data)
{
	struct eu_target target = eu_target_at(worker, group, index);
	struct eu_lanes at;

	eu_lanes32(&at, offsets, lanes, mask, 1, 0);
	eu_write_channels(worker, &target, &at, first_channels(channels), data);
}

void eu_global_read(struct eu_worker *worker, const uint64_t *addresses, uint32_t lanes,
		    uint32_t channels, uint32_t mask, uint32_t *data)
{
	struct eu_lanes at;

	eu_lanes64(&at, addresses, lanes, mask);
	eu_read_channels(worker, &eu_global, &at, first_channels(channels), data);
}

void eu_global_write(struct eu_worker *worker, const uint64_t *addresses, uint32_t lanes,
		     uint32_t channels, uint32_t mask, const uint32_t *data)
{
	struct eu_lanes at;

	eu_lanes64(&at, addresses, lanes, mask);
	eu_write_channels(worker, &eu_global, &at, first_channels(channels), data);
}

void eu_scattered_read(struct eu_worker *worker, struct eu_group *group, uint32_t index,
		       const uint32_t *offsets, uint32_t lanes, uint32_t size, uint32_t mask,
		       uint32_t *data)
{
	struct eu_target target = eu_target_at(worker, group, index);
	struct eu_lanes at;

	eu_lanes32(&at, offsets, lanes, mask, 1, 0);
	eu_read_elements(worker, &target, &at, size, 1, data);
}

void eu_scattered_write(struct eu_worker *worker, struct eu_group *group, uint32_t index,
			const uint32_t *offsets, uint32_t lanes, uint32_t size, uint32_t mask,
			const uint32_t *data)
{
	struct eu_target target = eu_target_at(worker, group, index);
	struct eu_lanes at;

	eu_lanes32(&at, offsets, lanes, mask, 1, 0);
	eu_write_elements(worker, &target, &at, size, 1, data);
}

void eu_global_scattered_read(struct eu_worker *worker, const uint64_t *addresses, uint32_t lanes,
			      uint32_t size, uint32_t mask, uint32_t *data)
{
	struct eu_lanes at;

	eu_lanes64(&at, addresses, lanes, mask);
	eu_read_elements(worker, &eu_global, &at, size, 1, data);
}

void eu_global_scattered_write(struct eu_worker *worker, const uint64_t *addresses, uint32_t lanes,
			       uint32_t size, uint32_t mask, const uint32_t *data)
{
	struct eu_lanes at;

	eu_lanes64(&at, addresses, lanes, mask);
	eu_write_elements(worker, &eu_global, &at, size, 1, data);
}
