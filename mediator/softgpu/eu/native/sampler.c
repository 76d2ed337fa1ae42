/* The sampler's messages. */
#include "sampling.h"

enum { STATE_BYTES = 16 };

/* Descriptor bits 16:12. */
enum {
	SAMPLE = 0,
	SAMPLE_B = 1,
	SAMPLE_L = 2,
	SAMPLE_C = 3,
	SAMPLE_D = 4,
	SAMPLE_B_C = 5,
	SAMPLE_L_C = 6,
	LD = 7,
	GATHER4 = 8,
	RESINFO = 10,
	SAMPLEINFO = 11,
	GATHER4_C = 16,
	SAMPLE_LZ = 24,
	SAMPLE_C_LZ = 25,
	LD_LZ = 26
};

/* A sampler message, taken apart. */
struct request {
	const struct eu_message *message;
	uint32_t type;
	uint32_t lanes;
	int reachable;
	struct eu_surface surface;
	struct eu_sampler sampler;
	int32_t offset[3];
	uint32_t channel;
};

static uint32_t parameter(const struct request *request, uint32_t number, uint32_t lane)
{
	return eu_operand(request->message, 0)[number * request->lanes + lane];
}

static double real(const struct request *request, uint32_t number, uint32_t lane)
{
	return (double)eu_as_float(parameter(request, number, lane));
}

static int32_t offset_of(uint32_t header, unsigned low)
{
	return (int32_t)(eu_field(header, low, 4) ^ 8) - 8;
}

static int compares(uint32_t type)
{
	return type == SAMPLE_C || type == SAMPLE_B_C || type == SAMPLE_L_C ||
	       type == SAMPLE_C_LZ || type == GATHER4_C;
}

/* How many coordinates come before an array's element. */
static unsigned directions(const struct eu_surface *surface)
{
	return surface->type == EU_1D ? 1 : surface->type == EU_2D ? 2 : 3;
}

/* A pixel's parameters: reference, bias or level, coordinates, element; of SAMPLE_D each coordinate
 * with its derivatives. */
static struct eu_sample sample_of(const struct request *request, uint32_t lane)
{
	struct eu_sample found = {.channel = request->channel};
	double along_x[3] = {0}, along_y[3] = {0};
	uint32_t type = request->type, next = 0;

	memcpy(found.offset, request->offset, sizeof(found.offset));
	found.gathers = type == GATHER4 || type == GATHER4_C;
	found.compares = compares(type);
	if (found.compares)
		found.reference = eu_as_float(parameter(request, next++, lane));
	if (type == SAMPLE_B || type == SAMPLE_L || type == SAMPLE_B_C || type == SAMPLE_L_C)
		found.lod = real(request, next++, lane);
	for (unsigned n = 0; n < directions(&request->surface); n++) {
		found.at[n] = real(request, next++, lane);
		if (type != SAMPLE_D)
			continue;
		along_x[n] = real(request, next++, lane);
		along_y[n] = real(request, next++, lane);
	}
	found.element = real(request, next, lane);
	if (type == SAMPLE_D)
		found.lod = eu_lod_of(&request->surface, along_x, along_y);
	return found;
}

/* The level comes third; LD_LZ has none. */
static struct eu_texel load_of(const struct request *request, uint32_t lane)
{
	uint32_t third = request->type == LD ? 3 : 2;
	int32_t level = request->type == LD ? (int32_t)parameter(request, 2, lane) : 0;
	int32_t at[3] = {
		(int32_t)parameter(request, 0, lane),
		(int32_t)parameter(request, 1, lane),
		(int32_t)parameter(request, third, lane),
	};

	for (unsigned n = 0; n < 3; n++)
		at[n] = (int32_t)((uint32_t)at[n] + (uint32_t)request->offset[n]);
	return eu_fetch_texel(request->message->worker, &request->surface, at, level);
}

static struct eu_texel sizes_of(const struct request *request, uint32_t level)
{
	const struct eu_surface *surface = &request->surface;
	uint32_t whole = level + surface->first_level;
	uint32_t depth = surface->type == EU_CUBE ? surface->depth / 6 : surface->depth;
	uint32_t slices = surface->array ? depth : 0;
	struct eu_texel found = {{0, 0, 0, surface->levels}};

	if (surface->type == EU_BUFFER) {
		found.channel[0] = (uint32_t)surface->elements;
		found.channel[3] = 0;
		return found;
	}
	if (level >= surface->levels)
		return found;
	found.channel[0] = eu_minify(surface->width, whole);
	if (surface->type == EU_1D) {
		found.channel[1] = slices;
	} else {
		found.channel[1] = eu_minify(surface->height, whole);
		found.channel[2] =
			surface->type == EU_3D ? eu_minify(surface->depth, whole) : slices;
	}
	return found;
}

static struct eu_texel answer(const struct request *request, uint32_t lane)
{
	struct eu_texel none = {{0}};

	if (!request->reachable)
		return none;
	switch (request->type) {
	case LD:
	case LD_LZ:
		return load_of(request, lane);
	case RESINFO:
		return sizes_of(request, parameter(request, 0, lane));
	case SAMPLEINFO:
		none.channel[0] = request->surface.samples;
		return none;
	default:
		if (request->surface.type == EU_BUFFER || request->sampler.disabled)
			return none;
		struct eu_sample sample = sample_of(request, lane);

		return eu_sample_colour(request->message->worker, &request->surface,
					&request->sampler, &sample);
	}
}

static int known(uint32_t type)
{
	return type <= GATHER4 || type == RESINFO || type == SAMPLEINFO || type == GATHER4_C ||
	       (type >= SAMPLE_LZ && type <= LD_LZ);
}

static int samples(uint32_t type)
{
	return type != LD && type != LD_LZ && type != RESINFO && type != SAMPLEINFO;
}

/* Where the sampler's states are: a header says it itself. */
static uint64_t state_of(const struct eu_message *message)
{
	struct eu_worker *worker = message->worker;
	uint64_t table = message->header ?
		worker->dynamic_base + (eu_header(message, 3) & ~31u) : worker->sampler_table;

	return table + eu_field(message->descriptor, 8, 4) * STATE_BYTES;
}

/* As 16 bits: floats are rounded, whole numbers cut off. */
static uint16_t halved(const struct request *request, uint32_t value)
{
	int whole = request->type == RESINFO || request->type == SAMPLEINFO ||
		    (request->reachable && request->surface.format->integer);

	return (uint16_t)(whole ? value : eu_narrow_float(value, 10, 1));
}

static void respond(struct eu_message *message, const struct request *request)
{
	uint32_t enabled = ~eu_field(eu_header(message, 2), 12, 4) & 0xf;
	uint32_t half = eu_field(message->descriptor, 30, 1);
	uint32_t grfs = half ? 1 : request->lanes / EU_GRF_DWORDS;
	uint32_t *data =
		eu_response(message, grfs * (uint32_t)__builtin_popcount(enabled));

	for (uint32_t lane = 0; lane < request->lanes; lane++) {
		uint32_t *place = data;

		if (!(message->mask >> lane & 1))
			continue;
		struct eu_texel texel = answer(request, lane);
		for (uint32_t n = 0; n < 4; n++) {
			if (!(enabled >> n & 1))
				continue;
			if (half)
				((uint16_t *)(void *)place)[lane] =
					halved(request, texel.channel[n]);
			else
				place[lane] = texel.channel[n];
			place += grfs * EU_GRF_DWORDS;
		}
	}
}

void eu_send_sampler(struct eu_message *message)
{
	uint32_t mode = eu_field(message->descriptor, 17, 2);
	uint32_t header = eu_header(message, 2);
	struct request request = {
		.message = message,
		.type = eu_field(message->descriptor, 12, 5),
		.lanes = mode == 1 ? 8 : 16,
		.offset = {offset_of(header, 8), offset_of(header, 4), offset_of(header, 0)},
		.channel = eu_field(header, 16, 2),
	};

	if ((mode != 1 && mode != 2) || !known(request.type)) {
		eu_illegal(message);
		return;
	}
	uint32_t modes = eu_begin_floats();

	request.reachable = eu_surface_of(message, &request.surface);
	if (request.reachable && samples(request.type))
		request.sampler = eu_sampler_at(message->worker, state_of(message));
	respond(message, &request);
	eu_end_floats(modes);
}
