/* Coordinates, filters and levels. Coordinates have 8 bits below the texel, as the hardware's do. */
#include <math.h>

#include "sampling.h"

enum { SUBTEXEL = 256, CUBE_FACES = 6 };
enum { WRAP, MIRROR, CLAMP, CUBE, CLAMP_BORDER, MIRROR_ONCE, HALF_BORDER, MIRROR_101 };
enum { OUTSIDE = -1, FLOAT_ONE = 0x3f800000, NOT_A_NUMBER = 0x7fc00000 };
enum { SELECT_ONE = 1, SELECT_RED = 4 };

/* Beyond this a coordinate says nothing more. */
#define FARTHEST 1099511627776.0

static double lod_field(uint32_t dword, unsigned low)
{
	return eu_field(dword, low, 12) / 256.0;
}

struct eu_sampler eu_sampler_at(struct eu_worker *worker, uint64_t address)
{
	uint32_t dwords[4];
	struct eu_sampler sampler;

	for (unsigned n = 0; n < 4; n++)
		dwords[n] = eu_load32(worker, address + 4 * n);
	int32_t bias = (int32_t)(eu_field(dwords[0], 1, 13) ^ 0x1000) - 0x1000;

	sampler.disabled = eu_field(dwords[0], 31, 1);
	sampler.mip = eu_field(dwords[0], 20, 2);
	sampler.filter[0] = eu_field(dwords[0], 17, 3);
	sampler.filter[1] = eu_field(dwords[0], 14, 3);
	sampler.bias = bias / 256.0;
	sampler.minimum_lod = lod_field(dwords[1], 20);
	sampler.maximum_lod = lod_field(dwords[1], 8);
	sampler.shadow = eu_field(dwords[1], 1, 3);
	sampler.unnormalised = eu_field(dwords[3], 10, 1);
	for (unsigned n = 0; n < 3; n++) {
		sampler.rounds[0][n] = eu_field(dwords[3], 18 - 2 * n, 1);
		sampler.rounds[1][n] = eu_field(dwords[3], 17 - 2 * n, 1);
		sampler.modes[n] = eu_field(dwords[3], 6 - 3 * n, 3);
	}
	sampler.border = worker->dynamic_base + (dwords[2] & 0xffffc0);
	return sampler;
}

struct eu_texel eu_select(const struct eu_surface *surface, struct eu_texel texel)
{
	struct eu_texel found = {{0}};

	for (unsigned n = 0; n < 4; n++) {
		uint32_t from = surface->select[n];

		if (from >= SELECT_RED)
			found.channel[n] = texel.channel[from - SELECT_RED];
		else if (from == SELECT_ONE)
			found.channel[n] = surface->format->integer ? 1 : FLOAT_ONE;
	}
	return found;
}

static double limit(double value, double low, double high)
{
	return value > low ? value < high ? value : high : low;
}

/* `value` as a whole number of 1/256 texels; NaN is 0. */
static int64_t fixed_point(double value, bool rounds)
{
	if (isnan(value))
		return 0;
	double scaled = limit(value, -FARTHEST, FARTHEST) * SUBTEXEL + (rounds ? 0.5 : 0);
	int64_t found = (int64_t)scaled;

	return found - ((double)found > scaled); /* down, not towards 0 */
}

static int64_t modulo(int64_t value, int64_t size)
{
	int64_t rest = value % size;

	return rest < 0 ? rest + size : rest;
}

static int64_t clamp(int64_t value, int64_t high)
{
	return value < 0 ? 0 : value > high ? high : value;
}

/* Texel `index` of `size`, brought inside; OUTSIDE: the border. */
static int64_t inside(int64_t index, int64_t size, uint32_t mode)
{
	int64_t found;

	if (index >= 0 && index < size)
		return index;
	switch (mode) {
	case WRAP:
		return modulo(index, size);
	case MIRROR:
		found = modulo(index, 2 * size);
		return found < size ? found : 2 * size - 1 - found;
	case MIRROR_ONCE:
		return clamp(index < 0 ? -1 - index : index, size - 1);
	case MIRROR_101:
		if (size == 1)
			return 0;
		found = modulo(index, 2 * size - 2);
		return found < size ? found : 2 * size - 2 - found;
	case CLAMP_BORDER:
	case HALF_BORDER:
		return OUTSIDE;
	default: /* CLAMP, CUBE */
		return clamp(index, size - 1);
	}
}

/* The two texels of one direction, and the second's weight in 256 parts. */
struct span {
	int64_t texel[2];
	int64_t weight;
};

static struct span span_of(double value, int64_t size, uint32_t mode, bool linear, bool rounds,
			   int32_t offset)
{
	int64_t at = fixed_point(value, rounds);
	struct span found = {.weight = 0};

	if (mode == HALF_BORDER) {
		at = clamp(at, size * SUBTEXEL);
		if (!linear)
			at = clamp(at, size * SUBTEXEL - 1);
	}
	if (linear)
		at -= SUBTEXEL / 2;
	int64_t fraction = at & (SUBTEXEL - 1); /* of a number below 0 too */
	int64_t index = (at - fraction) / SUBTEXEL + offset;
	found.weight = linear ? fraction : 0;
	found.texel[0] = inside(index, size, mode);
	found.texel[1] = inside(index + 1, size, mode);
	return found;
}

/* Where in a level: spans of u, v, r and the slice. */
struct footprint {
	struct span span[3];
	uint32_t level;
	uint32_t slice;
};

/* The face that a direction points at, and where on it. */
static uint32_t cube_face(const double *direction, double *u, double *v)
{
	double x = direction[0], y = direction[1], z = direction[2];
	double size[3] = {fabs(x), fabs(y), fabs(z)};
	double major, along, down;
	uint32_t face;

	if (size[0] >= size[1] && size[0] >= size[2]) {
		face = x < 0 ? 1 : 0;
		major = size[0];
		along = x < 0 ? z : -z;
		down = -y;
	} else if (size[1] >= size[2]) {
		face = y < 0 ? 3 : 2;
		major = size[1];
		along = x;
		down = y < 0 ? -z : z;
	} else {
		face = z < 0 ? 5 : 4;
		major = size[2];
		along = z < 0 ? -x : x;
		down = -y;
	}
	*u = major > 0 ? along / major * 0.5 + 0.5 : 0.5;
	*v = major > 0 ? down / major * 0.5 + 0.5 : 0.5;
	return face;
}

static uint32_t slice_of(const struct eu_surface *surface, double element)
{
	double found = isnan(element) ? 0 : rint(limit(element, -1, FARTHEST));

	return (uint32_t)limit(found, 0, surface->depth - 1.0);
}

static struct footprint footprint_of(const struct eu_surface *surface,
				     const struct eu_sampler *sampler,
				     const struct eu_sample *sample, uint32_t level, int minified,
				     bool linear)
{
	uint32_t whole = level + surface->first_level;
	uint32_t sizes[3] = {surface->width, surface->height, surface->depth};
	double at[3] = {sample->at[0], sample->at[1], sample->at[2]};
	struct footprint found = {.level = level, .slice = 0};
	unsigned directions = surface->type == EU_1D ? 1 : surface->type == EU_3D ? 3 : 2;

	if (surface->type == EU_CUBE) {
		uint32_t cubes = surface->depth / CUBE_FACES;
		uint32_t cube = 0;

		if (surface->array && !isnan(sample->element))
			cube = (uint32_t)limit(rint(limit(sample->element, -1, FARTHEST)), 0,
					       cubes - 1.0);
		found.slice = cube * CUBE_FACES + cube_face(sample->at, &at[0], &at[1]);
	} else if (surface->array && surface->type != EU_3D) {
		found.slice = slice_of(surface, sample->element);
	}
	for (unsigned n = 0; n < directions; n++) {
		uint32_t size = eu_minify(sizes[n], whole);
		uint32_t mode = surface->type == EU_CUBE ? CUBE : sampler->modes[n];
		bool scaled = surface->type == EU_CUBE || !sampler->unnormalised;

		found.span[n] = span_of(scaled ? at[n] * size : at[n], size, mode, linear,
					sampler->rounds[minified][n], sample->offset[n]);
	}
	return found;
}

static struct eu_texel border_of(struct eu_worker *worker, const struct eu_sampler *sampler)
{
	struct eu_texel found;

	for (unsigned n = 0; n < 4; n++)
		found.channel[n] = eu_load32(worker, sampler->border + 4 * n);
	return found;
}

static struct eu_texel texel_of(struct eu_worker *worker, const struct eu_surface *surface,
				const struct eu_sampler *sampler, const struct footprint *foot,
				unsigned corner)
{
	int64_t at[3] = {0, 0, 0};

	for (unsigned n = 0; n < 3; n++) {
		at[n] = foot->span[n].texel[corner >> n & 1];
		if (at[n] == OUTSIDE)
			return border_of(worker, sampler);
	}
	uint32_t slice = foot->slice + (surface->type == EU_3D ? (uint32_t)at[2] : 0);
	return eu_load_texel(worker, surface->format,
			     eu_texel_address(surface, foot->level, (uint32_t)at[0],
					      (uint32_t)at[1], slice));
}

/* The hardware tells where the texel does not pass against the reference. */
static double compare(uint32_t function, double texel, double reference)
{
	int passes;

	switch (function) {
	case 0:
		passes = 1;
		break;
	case 1:
		passes = 0;
		break;
	case 2:
		passes = texel < reference;
		break;
	case 3:
		passes = texel == reference;
		break;
	case 4:
		passes = texel <= reference;
		break;
	case 5:
		passes = texel > reference;
		break;
	case 6:
		passes = texel != reference;
		break;
	default:
		passes = texel >= reference;
	}
	return passes ? 0 : 1;
}

static struct eu_texel compared(const struct eu_sampler *sampler, const struct eu_sample *sample,
				struct eu_texel texel)
{
	if (sample->compares) {
		double found = compare(sampler->shadow, eu_as_float(texel.channel[0]),
				       sample->reference);

		for (unsigned n = 0; n < 3; n++)
			texel.channel[n] = eu_float_bits((float)found);
		texel.channel[3] = FLOAT_ONE;
	}
	return texel;
}

/* A colour that is mixed. */
struct colour {
	double channel[4];
};

static struct colour mix_level(struct eu_worker *worker, const struct eu_surface *surface,
			       const struct eu_sampler *sampler, const struct eu_sample *sample,
			       uint32_t level, int minified)
{
	unsigned corners = surface->type == EU_1D ? 2 : surface->type == EU_3D ? 8 : 4;
	struct footprint foot = footprint_of(surface, sampler, sample, level, minified, 1);
	struct colour found = {{0}};

	for (unsigned corner = 0; corner < corners; corner++) {
		int64_t weight = 1, whole = 1;

		for (unsigned n = 0; 1u << n < corners; n++) {
			int64_t second = foot.span[n].weight;

			weight *= corner >> n & 1 ? second : SUBTEXEL - second;
			whole *= SUBTEXEL;
		}
		if (!weight)
			continue;
		struct eu_texel texel = compared(
			sampler, sample, texel_of(worker, surface, sampler, &foot, corner));
		for (unsigned n = 0; n < 4; n++) {
			double part = (double)weight / (double)whole;

			found.channel[n] += (double)eu_as_float(texel.channel[n]) * part;
		}
	}
	return found;
}

static struct eu_texel nearest(struct eu_worker *worker, const struct eu_surface *surface,
			       const struct eu_sampler *sampler, const struct eu_sample *sample,
			       uint32_t level, int minified)
{
	struct footprint foot = footprint_of(surface, sampler, sample, level, minified, 0);

	return compared(sampler, sample, texel_of(worker, surface, sampler, &foot, 0));
}

static struct colour level_colour(struct eu_worker *worker, const struct eu_surface *surface,
				  const struct eu_sampler *sampler, const struct eu_sample *sample,
				  uint32_t level, int minified)
{
	struct colour found;

	if (sampler->filter[minified] != EU_NEAREST)
		return mix_level(worker, surface, sampler, sample, level, minified);
	struct eu_texel texel = nearest(worker, surface, sampler, sample, level, minified);
	for (unsigned n = 0; n < 4; n++)
		found.channel[n] = (double)eu_as_float(texel.channel[n]);
	return found;
}

/* Corners in the order of the answer: bit 0 is the right one, bit 1 the lower one. */
static const unsigned gather_corners[4] = {2, 3, 1, 0};

static struct eu_texel gather(struct eu_worker *worker, const struct eu_surface *surface,
			      const struct eu_sampler *sampler, const struct eu_sample *sample)
{
	struct footprint foot = footprint_of(surface, sampler, sample, 0, 0, 1);
	struct eu_texel found;

	for (unsigned n = 0; n < 4; n++) {
		struct eu_texel texel = compared(
			sampler, sample,
			texel_of(worker, surface, sampler, &foot, gather_corners[n]));

		found.channel[n] = eu_select(surface, texel).channel[sample->channel];
	}
	return found;
}

struct eu_texel eu_sample_colour(struct eu_worker *worker, const struct eu_surface *surface,
				 const struct eu_sampler *sampler, const struct eu_sample *sample)
{
	double lod = isnan(sample->lod) ? 0 : sample->lod + sampler->bias;
	double last = surface->levels - 1.0;
	struct eu_texel found;

	if (sample->gathers)
		return gather(worker, surface, sampler, sample);
	lod = limit(lod, sampler->minimum_lod, sampler->maximum_lod);
	lod = limit(lod, surface->minimum_lod / 256.0, FARTHEST);
	int minified = lod > 0;
	double level = sampler->mip == EU_MIP_LINEAR ? floor(limit(lod, 0, last)) :
		       sampler->mip == EU_MIP_NONE  ? 0 :
						      floor(limit(lod + 0.5, 0, last));
	if (surface->format->integer)
		return eu_select(surface, nearest(worker, surface, sampler, sample,
						  (uint32_t)level, minified));
	struct colour colour =
		level_colour(worker, surface, sampler, sample, (uint32_t)level, minified);
	double part = floor((limit(lod, 0, last) - level) * SUBTEXEL) / SUBTEXEL;
	if (sampler->mip == EU_MIP_LINEAR && part > 0) {
		struct colour next = level_colour(worker, surface, sampler, sample,
						  (uint32_t)level + 1, minified);

		for (unsigned n = 0; n < 4; n++)
			colour.channel[n] = colour.channel[n] * (1 - part) + next.channel[n] * part;
	}
	for (unsigned n = 0; n < 4; n++)
		found.channel[n] = isnan(colour.channel[n]) ?
					   NOT_A_NUMBER :
					   eu_float_bits((float)colour.channel[n]);
	return eu_select(surface, found);
}

static int beyond(int64_t value, uint32_t size)
{
	return value < 0 || value >= (int64_t)size;
}

struct eu_texel eu_fetch_texel(struct eu_worker *worker, const struct eu_surface *surface,
			       const int32_t *at, int32_t level)
{
	struct eu_texel none = {{0}};
	uint32_t whole = (uint32_t)level + surface->first_level;
	int64_t u = at[0], v = at[1], r = at[2];
	int64_t slice = 0;

	if (surface->type == EU_BUFFER) {
		if ((uint64_t)(uint32_t)u >= surface->elements)
			return eu_select(surface, none);
		return eu_select(surface,
				 eu_load_texel(worker, surface->format,
					       eu_texel_address(surface, 0, (uint32_t)u, 0, 0)));
	}
	if (surface->type == EU_1D) {
		slice = surface->array ? v : 0;
		v = 0;
	} else if (surface->type == EU_3D || surface->array || surface->type == EU_CUBE) {
		slice = r;
	}
	uint32_t slices = surface->type == EU_3D ? eu_minify(surface->depth, whole) : surface->depth;
	uint32_t rows = surface->type == EU_1D ? 1 : eu_minify(surface->height, whole);
	if (beyond(level, surface->levels) || beyond(u, eu_minify(surface->width, whole)) ||
	    beyond(v, rows) || beyond(slice, slices))
		return eu_select(surface, none);
	return eu_select(surface,
			 eu_load_texel(worker, surface->format,
				       eu_texel_address(surface, (uint32_t)level, (uint32_t)u,
							(uint32_t)v, (uint32_t)slice)));
}

double eu_lod_of(const struct eu_surface *surface, const double *along_x, const double *along_y)
{
	uint32_t sizes[3] = {surface->width, surface->height, surface->depth};
	unsigned directions = surface->type == EU_1D ? 1 : surface->type == EU_3D ? 3 : 2;
	double x = 0, y = 0;

	for (unsigned n = 0; n < directions; n++) {
		double size = eu_minify(sizes[n], surface->first_level);

		x += along_x[n] * size * (along_x[n] * size);
		y += along_y[n] * size * (along_y[n] * size);
	}
	double most = x > y ? x : y;
	return most > 0 && !isinf(most) ? 0.5 * log2(most) : most > 0 ? FARTHEST : -FARTHEST;
}
