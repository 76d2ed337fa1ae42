/* Surfaces with texels: what their states say, where a texel lies, what its bits mean. */
#ifndef VGPU_EU_SURFACE_H
#define VGPU_EU_SURFACE_H

#ifdef __SSE2__
#include <xmmintrin.h>
#endif

#include "eu.h"

/* Texels are converted and mixed in the host's usual float modes, whatever the kernel has set. */
enum { EU_USUAL_FLOATS = 0x1f80 };

static inline uint32_t eu_begin_floats(void)
{
#ifdef __SSE2__
	uint32_t modes = _mm_getcsr();

	_mm_setcsr(EU_USUAL_FLOATS);
	return modes;
#else
	return 0;
#endif
}

static inline void eu_end_floats(uint32_t modes)
{
#ifdef __SSE2__
	_mm_setcsr(modes);
#else
	(void)modes;
#endif
}

/* gen9/eu/formats.py, whose table build.py writes out. */
enum eu_channel_kind {
	EU_ABSENT,
	EU_UNORM,
	EU_SNORM,
	EU_UINT,
	EU_SINT,
	EU_FLOAT,
	EU_USCALED,
	EU_SSCALED,
	EU_SHARED_EXPONENT
};
struct eu_channel {
	uint8_t kind;
	uint8_t bits;
	uint8_t shift;
};
struct eu_format {
	uint8_t size; /* bytes of a texel; 0: this GPU does not convert it */
	uint8_t srgb;
	uint8_t integer;
	uint16_t typed_read; /* the format by which typed reads convert */
	struct eu_channel channels[4];
};
extern const struct eu_format eu_formats[512];

/* A texel as registers hold it: floats or integers, red first. */
struct eu_texel {
	uint32_t channel[4];
};

enum eu_surface_type { EU_1D, EU_2D, EU_3D, EU_CUBE, EU_BUFFER };

struct eu_surface {
	const struct eu_format *format;
	uint64_t base;
	uint64_t elements; /* of a buffer */
	uint32_t type;
	uint32_t tiling;
	uint32_t array;
	uint32_t align_x, align_y;
	uint32_t qpitch;
	uint32_t width, height, depth; /* of level 0; depth of an array: slices, of cubes: faces */
	uint32_t pitch;
	uint32_t first; /* slice */
	uint32_t extent; /* slices of a 3D surface that may be written */
	uint32_t x_offset, y_offset;
	uint32_t first_level, levels; /* levels: how many there are */
	uint32_t select[4];
	uint32_t minimum_lod; /* U4.8 */
	uint32_t samples;
	uint32_t columns; /* of Yf tiles: bits of an offset in the tile that count bytes of a row */
};

/* The surface a message names: 0 when it is none with texels that can be reached. */
int eu_surface_of(struct eu_message *message, struct eu_surface *surface);

/* What a fast clear of the surface that a message names means: four dwords. */
void eu_clear_colour(struct eu_message *message, uint32_t *colour);

/* A level's size in one direction. */
static inline uint32_t eu_minify(uint32_t size, uint32_t level)
{
	uint32_t found = level < 32 ? size >> level : 0;

	return found ? found : 1;
}

/* GPU address of byte column `x` of `row`, of a surface that is not a buffer. */
uint64_t eu_byte_address(const struct eu_surface *surface, uint64_t x, uint64_t row);

/* GPU address of a texel that is inside. `level` and `slice` count from the first one of the view. */
uint64_t eu_texel_address(const struct eu_surface *surface, uint32_t level, uint32_t x, uint32_t y,
			  uint32_t slice);

struct eu_texel eu_load_texel(struct eu_worker *worker, const struct eu_format *format,
			      uint64_t address);

/* Write the channels of `enabled`. */
void eu_store_texel(struct eu_worker *worker, const struct eu_format *format, uint64_t address,
		    uint32_t enabled, struct eu_texel texel);

/* A float with a mantissa of `mantissa` bits and five of exponent, from a 32-bit one and back. */
uint32_t eu_narrow_float(uint32_t bits, uint32_t mantissa, bool with_sign);
uint32_t eu_widen_float(uint32_t bits, uint32_t mantissa, bool with_sign);

static inline float eu_as_float(uint32_t bits)
{
	float value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

static inline uint32_t eu_float_bits(float value)
{
	uint32_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

#endif
