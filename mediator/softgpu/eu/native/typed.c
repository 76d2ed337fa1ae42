/* Typed accesses: texels by their coordinates, eight pixels a message; and media blocks. */
#include "surface.h"

enum { LANES = 8, ALL_CHANNELS = 0xf };
enum { MEDIA_BLOCK_MOST = 512 };

/* In units of costs.py: a texel, and a byte of a media block, which has an address of its own. */
enum { TEXEL_COST = 64, BYTE_COST = 32 };

/* Coordinates of a pixel: u, v, r and the level, as many as there are; the others are 0. */
struct position {
	uint32_t at[4];
};

static struct position position_of(const struct eu_message *message, uint32_t coordinates,
				   uint32_t lane)
{
	struct position found = {{0}};

	for (uint32_t n = 0; n < coordinates; n++)
		found.at[n] = eu_operand(message, n)[lane];
	return found;
}

/* What is not data is coordinates. */
static uint32_t coordinates_of(const struct eu_message *message, uint32_t data)
{
	uint32_t taken = message->header + data;
	uint32_t found = message->grfs > taken ? message->grfs - taken : 1;

	return found < 4 ? found : 4;
}

/* Address of a pixel's texel; EU_NOWHERE outside. */
static uint64_t locate(const struct eu_surface *surface, struct position position)
{
	uint32_t u = position.at[0], v = position.at[1], r = position.at[2];
	uint32_t level = position.at[3];
	uint32_t whole = level + surface->first_level;
	uint32_t slice = 0;

	if (surface->type == EU_BUFFER)
		return u < surface->elements ? eu_texel_address(surface, 0, u, 0, 0) : EU_NOWHERE;
	if (level >= surface->levels || u >= eu_minify(surface->width, whole))
		return EU_NOWHERE;
	if (surface->type == EU_1D) {
		slice = surface->array ? v : 0;
		v = 0;
	} else if (v >= eu_minify(surface->height, whole)) {
		return EU_NOWHERE;
	} else if (surface->type == EU_3D) {
		if (r >= surface->extent ||
		    r + surface->first >= eu_minify(surface->depth, whole))
			return EU_NOWHERE;
		return eu_texel_address(surface, level, u, v, r);
	} else {
		slice = surface->array || surface->type == EU_CUBE ? r : 0;
	}
	return slice < surface->depth ? eu_texel_address(surface, level, u, v, slice) : EU_NOWHERE;
}

/* The pixels of the message's half of the header's mask. */
static uint32_t masked(const struct eu_message *message, bool upper)
{
	if (!message->header)
		return message->mask;
	return message->mask & message->payload[7] >> (upper ? LANES : 0);
}

void eu_send_typed(struct eu_message *message, bool write)
{
	uint32_t enabled = ~eu_field(message->descriptor, 8, 4) & ALL_CHANNELS;
	uint32_t mode = eu_field(message->descriptor, 12, 2);
	uint32_t channels = (uint32_t)__builtin_popcount(enabled);
	uint32_t coordinates = coordinates_of(message, write ? channels : 0);
	struct eu_surface surface;
	int reachable = eu_surface_of(message, &surface);

	if (mode != 1 && mode != 2) {
		eu_illegal(message);
		return;
	}
	uint32_t mask = masked(message, mode == 2);
	const uint32_t *given = eu_operand(message, coordinates);
	message->worker->budget -= LANES * TEXEL_COST;
	uint32_t *data = write ? NULL : eu_response(message, channels);
	uint32_t modes = eu_begin_floats();
	for (uint32_t lane = 0; lane < LANES; lane++) {
		struct eu_texel texel = {{0}};
		uint32_t place = lane;

		if (!(mask >> lane & 1))
			continue;
		uint64_t address = reachable ?
			locate(&surface, position_of(message, coordinates, lane)) : EU_NOWHERE;
		if (!write && address != EU_NOWHERE)
			texel = eu_load_texel(message->worker,
					      &eu_formats[surface.format->typed_read], address);
		for (uint32_t n = 0; n < 4; n++) {
			if (!(enabled >> n & 1))
				continue;
			if (write)
				texel.channel[n] = given[place];
			else
				data[place] = texel.channel[n];
			place += LANES;
		}
		if (write && address != EU_NOWHERE)
			eu_store_texel(message->worker, surface.format, address, enabled, texel);
	}
	eu_end_floats(modes);
}

/* Of surfaces whose texels are one dword. */
void eu_send_typed_atomic(struct eu_message *message)
{
	uint32_t descriptor = message->descriptor;
	uint32_t operation = eu_field(descriptor, 8, 4);
	int operands = eu_atomic_operands(operation, 0);
	struct eu_lanes lanes = {.count = LANES};
	struct eu_surface surface;
	int reachable = eu_surface_of(message, &surface) && surface.format->size == 4;
	uint32_t mask = masked(message, eu_field(descriptor, 12, 1));
	uint32_t *old = NULL;

	if (operands < 0) {
		eu_illegal(message);
		return;
	}
	uint32_t coordinates = coordinates_of(message, (uint32_t)operands);
	message->worker->budget -= LANES * TEXEL_COST;
	if (eu_field(descriptor, 13, 1))
		old = eu_response(message, 1);
	for (uint32_t lane = 0; lane < LANES; lane++) {
		if (!(mask >> lane & 1))
			continue;
		lanes.at[lane] = reachable ?
			locate(&surface, position_of(message, coordinates, lane)) : EU_NOWHERE;
		if (lanes.at[lane] != EU_NOWHERE)
			lanes.mask |= 1u << lane;
		else if (old)
			old[lane] = 0;
	}
	eu_atomic(message->worker, &eu_global, &lanes, 4, operation, 0,
		  eu_operand(message, coordinates), eu_operand(message, coordinates + 1), old);
}

static int64_t clamp(int64_t value, int64_t high)
{
	return value < 0 || high < 0 ? 0 : value > high ? high : value;
}

/* A byte of a surface, or that of the nearest texel where there is none. Media blocks take the width
 * of a surface as so many dwords, whatever its format. */
struct byte_at {
	uint64_t address;
	int inside;
};

static struct byte_at media_byte(const struct eu_surface *surface, int64_t column, int64_t row)
{
	int64_t size = surface->format->size;
	int64_t texels = INT64_C(4) * surface->width / size;
	int64_t texel = column < 0 ? -1 : column / size;
	uint64_t within = (uint64_t)((column % size + size) % size);
	struct byte_at found = {
		.inside = texel >= 0 && texel < texels && row >= 0 && row < surface->height,
	};

	found.address = eu_texel_address(surface, 0, (uint32_t)clamp(texel, texels - 1),
					 (uint32_t)clamp(row, surface->height - 1), 0) +
			within;
	return found;
}

/* A rectangle of bytes. Outside of the surface, what is read is its nearest texel's. */
void eu_send_media_block(struct eu_message *message, bool write)
{
	int64_t x = (int32_t)eu_header(message, 0), y = (int32_t)eu_header(message, 1);
	uint32_t width = eu_field(eu_header(message, 2), 0, 6) + 1;
	uint32_t height = eu_field(eu_header(message, 2), 16, 6) + 1;
	uint32_t pitch = 4;
	struct eu_surface surface;
	int reachable = eu_surface_of(message, &surface) && surface.type == EU_2D;

	while (pitch < width)
		pitch *= 2;
	if (height * pitch > MEDIA_BLOCK_MOST) {
		eu_illegal(message);
		return;
	}
	uint32_t grfs = (height * pitch + EU_GRF - 1) / EU_GRF;
	message->worker->budget -= (int64_t)height * pitch * BYTE_COST;
	const uint8_t *given = (const uint8_t *)eu_operand(message, 0);
	uint8_t *data = write ? NULL : (uint8_t *)eu_response(message, grfs);

	for (uint32_t n = 0; n < height * pitch; n++) {
		struct byte_at place = {0, 0};

		if (n % pitch >= width)
			continue;
		if (reachable)
			place = media_byte(&surface, x + n % pitch, y + n / pitch);
		if (!write)
			data[n] = reachable ? (uint8_t)eu_load(message->worker, place.address, 1) : 0;
		else if (place.inside)
			eu_store(message->worker, place.address, 1, given[n]);
	}
}
