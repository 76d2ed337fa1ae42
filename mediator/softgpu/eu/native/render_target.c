/* Render target writes: the texels of a pixel shader's thread. */
#include "surface.h"

/* Descriptor bits 17:14, and 10:8. */
enum { WRITE = 12 };
enum { SIMD16 = 0, SIMD16_REPLICATED = 1, SIMD8 = 4 };
/* Header, two GRFs: copies of r0 and r1. */
enum { HEADER_GRFS = 2, HEADER_TARGET = 2, HEADER_SUBSPANS = 10, HEADER_PIXELS = 15 };
enum { HALF = 16 };

/* Where the texels of a message go. */
struct pixels {
	uint32_t mask;
	uint32_t layer;
	uint32_t subspans[4]; /* x below y */
};

static struct pixels of_thread(const struct eu_message *message)
{
	const struct eu_thread *thread = message->thread;
	uint32_t first = eu_field(message->descriptor, 11, 1) ? HALF : 0;
	struct pixels found = {thread->pixel_mask >> first, thread->pixel_layer, {0}};

	for (uint32_t n = 0; n < 4; n++)
		found.subspans[n] = eu_pixel_x(thread->pixel_x, first + 4 * n) |
				    eu_pixel_y(thread->pixel_y, first + 4 * n) << 16;
	return found;
}

static struct pixels of_header(const struct eu_message *message)
{
	const uint32_t *header = message->payload;
	struct pixels found = {header[HEADER_PIXELS] & 0xffff, eu_field(header[0], 16, 11), {0}};

	memcpy(found.subspans, header + HEADER_SUBSPANS, sizeof(found.subspans));
	return found;
}

/* Address of a texel; EU_NOWHERE outside. */
static uint64_t locate(const struct eu_surface *surface, uint32_t x, uint32_t y, uint32_t layer)
{
	uint32_t level = surface->levels - 1;
	uint32_t slice = surface->array || surface->type == EU_3D ? layer : 0;

	if (surface->type != EU_2D && surface->type != EU_3D)
		return EU_NOWHERE;
	if (x >= eu_minify(surface->width, level) || y >= eu_minify(surface->height, level))
		return EU_NOWHERE;
	if (slice >= surface->extent)
		return EU_NOWHERE;
	if (surface->type == EU_3D && slice + surface->first >= eu_minify(surface->depth, level))
		return EU_NOWHERE;
	return eu_texel_address(surface, level, x, y, slice);
}

/* What there is no code for: it would be carried out wrongly. */
static int known(const struct eu_message *message)
{
	uint32_t type = eu_field(message->descriptor, 8, 3);
	uint32_t per_sample = eu_field(message->descriptor, 13, 1);

	if (!message->thread->pixel_mask || eu_field(message->descriptor, 14, 4) != WRITE)
		return 0;
	if ((type != SIMD16 && type != SIMD16_REPLICATED && type != SIMD8) || per_sample)
		return 0;
	/* More of a payload (alpha, masks, depth, stencil), and other targets than the first. */
	return !message->header || !(eu_field(message->payload[0], 11, 4) ||
				     eu_field(message->payload[HEADER_TARGET], 0, 3));
}

uint32_t eu_clear(struct eu_thread *thread, struct eu_group *group, struct eu_worker *worker)
{
	struct eu_message message = {
		.worker = worker,
		.group = group,
		.thread = thread,
		.descriptor = WRITE << 14 | SIMD16_REPLICATED << 8,
		.mask = 0xffff,
	};

	worker->budget -= EU_TARGET_COST;
	eu_clear_colour(&message, message.payload);
	eu_send_render_target(&message);
	return EU_ENDED;
}

void eu_send_render_target(struct eu_message *message)
{
	struct eu_surface surface;

	if (!known(message)) {
		eu_illegal(message);
		return;
	}
	uint32_t type = eu_field(message->descriptor, 8, 3);
	uint32_t lanes = type == SIMD8 ? 8 : 16;
	struct pixels pixels = message->header ? of_header(message) : of_thread(message);
	const uint32_t *data = message->payload + (message->header ? HEADER_GRFS : 0) * EU_GRF_DWORDS;
	uint32_t mask = message->mask & pixels.mask;

	if (!eu_surface_of(message, &surface))
		return;
	surface.first_level = 0; /* it is the sampler's alone */
	uint32_t modes = eu_begin_floats();
	for (uint32_t lane = 0; lane < lanes; lane++) {
		uint32_t place = pixels.subspans[lane / 4];
		struct eu_texel texel;

		if (!(mask >> lane & 1))
			continue;
		uint64_t address = locate(&surface, (place & 0xffff) + (lane & 1),
					  (place >> 16) + (lane >> 1 & 1), pixels.layer);
		if (address == EU_NOWHERE)
			continue;
		for (uint32_t n = 0; n < 4; n++)
			texel.channel[n] = type == SIMD16_REPLICATED ? data[n] : data[n * lanes + lane];
		eu_store_texel(message->worker, surface.format, address,
			       message->thread->pixel_writes, texel);
	}
	eu_end_floats(modes);
}
