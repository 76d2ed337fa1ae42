/* A channel at a time: untyped and scattered accesses. */
#include "eu.h"

void eu_lanes32(struct eu_lanes *lanes, const uint32_t *offsets, uint32_t count, uint32_t mask,
		uint32_t scale, uint32_t more)
{
	lanes->count = count;
	lanes->mask = mask;
	for (uint32_t lane = 0; lane < count; lane++)
		lanes->at[lane] = offsets[lane] * scale + more;
}

void eu_lanes64(struct eu_lanes *lanes, const void *addresses, uint32_t count, uint32_t mask)
{
	lanes->count = count;
	lanes->mask = mask;
	memcpy(lanes->at, addresses, count * sizeof(lanes->at[0]));
	for (uint32_t lane = 0; lane < count; lane++)
		lanes->at[lane] &= EU_ADDRESS_MASK;
}

void eu_read_channels(struct eu_worker *worker, const struct eu_target *target,
		      const struct eu_lanes *lanes, uint32_t enabled, uint32_t *data)
{
	for (uint32_t lane = 0; lane < lanes->count; lane++) {
		uint64_t offset = lanes->at[lane] & ~UINT64_C(3);
		uint32_t *place = data + lane;

		if (!(lanes->mask >> lane & 1))
			continue;
		for (uint32_t channel = 0; channel < 4; channel++) {
			if (!(enabled >> channel & 1))
				continue;
			*place = eu_fetch32(worker, target, offset + 4 * channel);
			place += lanes->count;
		}
	}
}

void eu_write_channels(struct eu_worker *worker, const struct eu_target *target,
		       const struct eu_lanes *lanes, uint32_t enabled, const uint32_t *data)
{
	for (uint32_t lane = 0; lane < lanes->count; lane++) {
		uint64_t offset = lanes->at[lane] & ~UINT64_C(3);
		const uint32_t *place = data + lane;

		if (!(lanes->mask >> lane & 1))
			continue;
		for (uint32_t channel = 0; channel < 4; channel++) {
			if (!(enabled >> channel & 1))
				continue;
			eu_put32(worker, target, offset + 4 * channel, *place);
			place += lanes->count;
		}
	}
}

void eu_read_elements(struct eu_worker *worker, const struct eu_target *target,
		      const struct eu_lanes *lanes, uint32_t size, uint32_t elements,
		      uint32_t *data)
{
	uint32_t slot = size == 8 ? 8 : 4;

	for (uint32_t lane = 0; lane < lanes->count; lane++) {
		if (!(lanes->mask >> lane & 1))
			continue;
		for (uint32_t element = 0; element < elements; element++) {
			uint64_t value = eu_fetch(worker, target, lanes->at[lane] + element * size,
						  size);

			memcpy((uint8_t *)data + (element * lanes->count + lane) * slot, &value,
			       slot);
		}
	}
}

void eu_write_elements(struct eu_worker *worker, const struct eu_target *target,
		       const struct eu_lanes *lanes, uint32_t size, uint32_t elements,
		       const uint32_t *data)
{
	uint32_t slot = size == 8 ? 8 : 4;

	for (uint32_t lane = 0; lane < lanes->count; lane++) {
		if (!(lanes->mask >> lane & 1))
			continue;
		for (uint32_t element = 0; element < elements; element++) {
			uint64_t value = 0;

			memcpy(&value,
			       (const uint8_t *)data + (element * lanes->count + lane) * slot,
			       slot);
			eu_put(worker, target, lanes->at[lane] + element * size, size, value);
		}
	}
}
