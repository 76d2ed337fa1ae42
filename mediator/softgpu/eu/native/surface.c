/* RENDER_SURFACE_STATE of surfaces with texels, and how they lie in memory. */
#include "surface.h"

enum { STATE_BYTES = 64, STATE_DWORDS = 16, LAST_ENTRY = 239, BINDLESS = 252 };
enum { CLEAR_COLOUR = 12 };
enum { LINEAR, TILE_W, TILE_X, TILE_Y };
enum { YF_TILES = 1 };
enum { TILE_BYTES = 4096, LINE_ALIGNMENT_1D = 64, CUBE_FACES = 6 };

/* GPU address of the state; EU_NOWHERE: there is none. */
static uint64_t state_of(struct eu_message *message)
{
	struct eu_worker *worker = message->worker;
	uint32_t index = message->descriptor & 0xff;

	if (index == BINDLESS) {
		uint64_t offset = (uint64_t)(message->extended >> 12) * STATE_BYTES;

		return offset + STATE_BYTES > worker->bindless_size ?
			       EU_NOWHERE :
			       worker->bindless_base + offset;
	}
	if (index > LAST_ENTRY)
		return EU_NOWHERE;
	uint32_t entry = eu_load32(worker, worker->binding_table + 4 * index);

	return worker->surface_base + (entry & ~(STATE_BYTES - 1u));
}

void eu_clear_colour(struct eu_message *message, uint32_t *colour)
{
	uint64_t state = state_of(message);

	for (unsigned n = 0; n < 4; n++)
		colour[n] = state == EU_NOWHERE ?
				    0 :
				    eu_load32(message->worker, state + 4 * (CLEAR_COLOUR + n));
}

/* Of a plain surface in Yf tiles: two dimensions, one level, at its origin. 0 of others. */
static uint32_t yf_columns(const struct eu_surface *surface, uint32_t word)
{
	int plain = surface->type == EU_2D && surface->tiling == TILE_Y &&
		    eu_field(word, 18, 2) == YF_TILES && eu_field(word, 8, 4) &&
		    !surface->x_offset && !surface->y_offset && !surface->first_level &&
		    surface->levels == 1;

	if (!plain)
		return 0;
	switch (surface->format->size) {
	case 1:
		return 0xa0f;
	case 2:
	case 4:
		return 0xa8f;
	case 8:
	case 16:
		return 0xaaf;
	default:
		return 0;
	}
}

int eu_surface_of(struct eu_message *message, struct eu_surface *surface)
{
	uint64_t state = state_of(message);
	uint32_t dwords[STATE_DWORDS];

	memset(surface, 0, sizeof(*surface));
	if (state == EU_NOWHERE)
		return 0;
	for (unsigned n = 0; n < STATE_DWORDS; n++)
		dwords[n] = eu_load32(message->worker, state + 4 * n);
	surface->type = eu_field(dwords[0], 29, 3);
	surface->array = eu_field(dwords[0], 28, 1);
	surface->format = &eu_formats[eu_field(dwords[0], 18, 9)];
	surface->align_y = 2u << eu_field(dwords[0], 16, 2);
	surface->align_x = 2u << eu_field(dwords[0], 14, 2);
	surface->tiling = eu_field(dwords[0], 12, 2);
	surface->qpitch = eu_field(dwords[1], 0, 15) * 4;
	surface->height = eu_field(dwords[2], 16, 14) + 1;
	surface->width = eu_field(dwords[2], 0, 14) + 1;
	surface->depth = eu_field(dwords[3], 21, 11) + 1;
	surface->pitch = eu_field(dwords[3], 0, 18) + 1;
	surface->first = eu_field(dwords[4], 18, 11);
	surface->extent = eu_field(dwords[4], 7, 11) + 1;
	surface->samples = 1u << eu_field(dwords[4], 3, 3);
	surface->x_offset = eu_field(dwords[5], 25, 7) * 4;
	surface->y_offset = eu_field(dwords[5], 21, 3) * 4;
	surface->first_level = eu_field(dwords[5], 4, 4);
	surface->levels = eu_field(dwords[5], 0, 4) + 1;
	for (unsigned n = 0; n < 4; n++)
		surface->select[n] = eu_field(dwords[7], 25 - 3 * n, 3);
	surface->minimum_lod = eu_field(dwords[7], 0, 12);
	surface->base = ((uint64_t)dwords[9] << 32 | dwords[8]) & EU_ADDRESS_MASK;
	surface->elements = ((uint64_t)eu_field(dwords[3], 21, 11) << 21 |
			     (uint64_t)eu_field(dwords[2], 16, 14) << 7 |
			     eu_field(dwords[2], 0, 7)) +
			    1;
	if (surface->type == EU_CUBE)
		surface->depth *= CUBE_FACES;
	bool plain = true;

	if (eu_field(dwords[5], 18, 2)) {
		surface->columns = yf_columns(surface, dwords[5]);
		plain = surface->columns != 0;
	}
	/* Bit 9 of a format is reserved; tiles of 64 KiB, W tiles and samples are not to be had. */
	return surface->type <= EU_BUFFER && surface->format->size != 0 &&
	       !eu_field(dwords[0], 27, 1) && surface->tiling != TILE_W &&
	       plain && surface->samples == 1;
}

static uint64_t yf_address(const struct eu_surface *surface, uint64_t x, uint64_t row)
{
	uint32_t columns = surface->columns;
	uint32_t width = 1u << __builtin_popcount(columns);
	uint32_t height = TILE_BYTES / width;
	uint64_t at = row / height * surface->pitch * height + x / width * TILE_BYTES;
	uint32_t within = (uint32_t)(x % width);
	uint32_t line = (uint32_t)(row % height);

	for (uint32_t bit = 0; 1u << bit < TILE_BYTES; bit++) {
		uint32_t *part = columns >> bit & 1 ? &within : &line;

		at |= (uint64_t)(*part & 1) << bit;
		*part >>= 1;
	}
	return surface->base + at;
}

uint64_t eu_byte_address(const struct eu_surface *surface, uint64_t x, uint64_t row)
{
	uint64_t pitch = surface->pitch;

	if (surface->columns)
		return yf_address(surface, x, row);
	switch (surface->tiling) {
	case TILE_X:
		return surface->base + row / 8 * pitch * 8 + x / 512 * TILE_BYTES + row % 8 * 512 +
		       x % 512;
	case TILE_Y:
		return surface->base + row / 32 * pitch * 32 + x / 128 * TILE_BYTES +
		       x % 128 / 16 * 512 + row % 32 * 16 + x % 16;
	default:
		return surface->base + row * pitch + x;
	}
}

static uint32_t align(uint32_t value, uint32_t to)
{
	return (value + to - 1) / to * to;
}

/* One row for each slice, its levels side by side. */
static uint64_t line_address(const struct eu_surface *surface, uint32_t level, uint32_t x,
			     uint32_t slice)
{
	uint64_t texel = x + (uint64_t)slice * surface->qpitch;

	for (uint32_t n = 0; n < level; n++)
		texel += align(eu_minify(surface->width, n), LINE_ALIGNMENT_1D);
	return surface->base + texel * surface->format->size;
}

uint64_t eu_texel_address(const struct eu_surface *surface, uint32_t level, uint32_t x, uint32_t y,
			  uint32_t slice)
{
	if (surface->type == EU_BUFFER)
		return surface->base + (uint64_t)x * surface->pitch;
	level += surface->first_level;
	slice += surface->first;
	if (surface->type == EU_1D)
		return line_address(surface, level, x, slice);
	uint64_t column = (uint64_t)x + surface->x_offset;
	uint64_t row = (uint64_t)y + surface->y_offset + (uint64_t)slice * surface->qpitch;

	/* Level 1 lies below level 0, level 2 beside it, each further one below the one before. */
	for (uint32_t n = 0; n < level; n++) {
		if (n == 1)
			column += align(eu_minify(surface->width, n), surface->align_x);
		else
			row += align(eu_minify(surface->height, n), surface->align_y);
	}
	return eu_byte_address(surface, column * surface->format->size, row);
}
