/* Texels: their bits and what they mean. The host's float modes are the defaults here. */
#include <math.h>

#include "surface.h"

enum { TEXEL_BYTES = 16, PIECE = 8 };
enum { FLOAT_ONE = 0x3f800000, SMALL_EXPONENT = 31, SMALL_BIAS = 15 };

static uint32_t low_bits(uint32_t count)
{
	return count == 32 ? UINT32_MAX : (1u << count) - 1;
}

static int32_t sign_extend(uint32_t value, uint32_t bits)
{
	uint32_t sign = 1u << (bits - 1);

	return (int32_t)((value ^ sign) - sign);
}

/* To the nearest of `value` / 2^`shift`, halves to even. */
static uint32_t round_shift(uint32_t value, uint32_t shift)
{
	uint32_t kept = value >> shift;
	uint32_t rest = value & low_bits(shift);
	uint32_t half = 1u << (shift - 1);

	return kept + (rest > half || (rest == half && kept & 1));
}

uint32_t eu_narrow_float(uint32_t bits, uint32_t mantissa, bool with_sign)
{
	uint32_t magnitude = bits & 0x7fffffff;
	uint32_t sign = bits >> 31;
	uint32_t infinity = SMALL_EXPONENT << mantissa;
	int32_t exponent = (int32_t)(magnitude >> 23) - 127 + SMALL_BIAS;
	uint32_t shift = 23 - mantissa;
	uint32_t found;

	if (magnitude > 0x7f800000)
		found = infinity | 1u << (mantissa - 1);
	else if (sign && !with_sign)
		return 0;
	else if (exponent >= SMALL_EXPONENT)
		found = infinity;
	else if (exponent > 0)
		found = ((uint32_t)exponent << mantissa) +
			round_shift(magnitude & 0x7fffff, shift);
	else if (shift + 1 - (uint32_t)exponent < 32 && magnitude >> 23)
		found = round_shift((magnitude & 0x7fffff) | 0x800000, shift + 1 - (uint32_t)exponent);
	else
		found = 0;
	return with_sign ? found | sign << (5 + mantissa) : found;
}

uint32_t eu_widen_float(uint32_t bits, uint32_t mantissa, bool with_sign)
{
	uint32_t sign = with_sign ? bits >> (5 + mantissa) & 1 : 0;
	uint32_t exponent = bits >> mantissa & SMALL_EXPONENT;
	uint32_t fraction = bits & low_bits(mantissa);
	uint32_t found;

	if (exponent == SMALL_EXPONENT)
		found = 0x7f800000 | fraction << (23 - mantissa);
	else if (exponent)
		found = (exponent + 127 - SMALL_BIAS) << 23 | fraction << (23 - mantissa);
	else
		found = eu_float_bits((float)ldexp(fraction, 1 - SMALL_BIAS - (int)mantissa));
	return found | sign << 31;
}

static double from_srgb(double value)
{
	return value <= 0.04045 ? value / 12.92 : pow((value + 0.055) / 1.055, 2.4);
}

static double to_srgb(double value)
{
	return value <= 0.0031308 ? value * 12.92 : 1.055 * pow(value, 1 / 2.4) - 0.055;
}

static uint32_t decode_float(uint32_t value, uint32_t bits)
{
	return bits == 32 ? value : bits == 16 ? eu_widen_float(value, 10, 1) :
						 eu_widen_float(value, bits - 5, 0);
}

static uint32_t decode(const struct eu_format *format, uint32_t number, const uint32_t *words)
{
	const struct eu_channel *channel = &format->channels[number];
	uint32_t value = words[channel->shift / 32] >> channel->shift % 32 & low_bits(channel->bits);
	int32_t with_sign = channel->bits ? sign_extend(value, channel->bits) : 0;
	double most = low_bits(channel->bits), found;

	switch (channel->kind) {
	case EU_UNORM:
		found = value / most;
		return eu_float_bits((float)(format->srgb && number < 3 ? from_srgb(found) : found));
	case EU_SNORM:
		found = with_sign / (double)low_bits(channel->bits - 1u);
		return eu_float_bits((float)(found < -1 ? -1 : found));
	case EU_UINT:
		return value;
	case EU_SINT:
		return (uint32_t)with_sign;
	case EU_FLOAT:
		return decode_float(value, channel->bits);
	case EU_USCALED:
		return eu_float_bits((float)value);
	case EU_SSCALED:
		return eu_float_bits((float)with_sign);
	case EU_SHARED_EXPONENT:
		return eu_float_bits((float)ldexp(value, (int)(words[0] >> 27) - SMALL_BIAS - 9));
	default:
		return number < 3 ? 0 : format->integer ? 1 : FLOAT_ONE;
	}
}

/* `value` between the ends; NaN is the lower one. */
static double clamp(double value, double low, double high)
{
	return value > low ? value < high ? value : high : low;
}

static uint32_t encode(const struct eu_format *format, uint32_t number, uint32_t bits)
{
	const struct eu_channel *channel = &format->channels[number];
	double most = low_bits(channel->bits);
	double half = low_bits(channel->bits - 1u);
	double value = eu_as_float(bits);
	int64_t integer = (int32_t)bits;

	if (isnan(value))
		value = 0;
	switch (channel->kind) {
	case EU_UNORM:
		value = clamp(value, 0, 1);
		if (format->srgb && number < 3)
			value = to_srgb(value);
		return (uint32_t)(int64_t)rint(value * most);
	case EU_SNORM:
		return (uint32_t)(int64_t)rint(clamp(value, -1, 1) * half);
	case EU_UINT:
		return bits < low_bits(channel->bits) ? bits : low_bits(channel->bits);
	case EU_SINT:
		return (uint32_t)(int64_t)clamp((double)integer, -half - 1, half);
	case EU_USCALED:
		return (uint32_t)(int64_t)rint(clamp(value, 0, most));
	case EU_SSCALED:
		return (uint32_t)(int64_t)rint(clamp(value, -half - 1, half));
	default: /* EU_FLOAT */
		return channel->bits == 32 ? bits : channel->bits == 16 ?
					     eu_narrow_float(bits, 10, 1) :
					     eu_narrow_float(bits, channel->bits - 5u, 0);
	}
}

static void load_words(struct eu_worker *worker, uint32_t size, uint64_t address, uint32_t *words)
{
	for (uint32_t done = 0; done < size; done += PIECE) {
		uint32_t count = size - done < PIECE ? size - done : PIECE;
		uint64_t piece = eu_load(worker, address + done, count);

		memcpy((uint8_t *)words + done, &piece, PIECE);
	}
}

struct eu_texel eu_load_texel(struct eu_worker *worker, const struct eu_format *format,
			      uint64_t address)
{
	uint32_t words[TEXEL_BYTES / 4] = {0};
	struct eu_texel texel;

	load_words(worker, format->size, address, words);
	for (uint32_t n = 0; n < 4; n++)
		texel.channel[n] = decode(format, n, words);
	return texel;
}

/* Channels of L and I formats lie in one place: the first that is enabled goes there. */
void eu_store_texel(struct eu_worker *worker, const struct eu_format *format, uint64_t address,
		    uint32_t enabled, struct eu_texel texel)
{
	uint32_t words[TEXEL_BYTES / 4] = {0};
	uint32_t present = 0;

	for (uint32_t n = 0; n < 4; n++) {
		if (format->channels[n].kind == EU_SHARED_EXPONENT)
			return;
		if (format->channels[n].kind != EU_ABSENT)
			present |= 1u << n;
	}
	if (!(present & enabled))
		return; /* not even what was there, which others may be writing */
	if (present & ~enabled)
		load_words(worker, format->size, address, words);
	for (uint32_t n = 4; n-- > 0;) {
		const struct eu_channel *channel = &format->channels[n];
		uint32_t *word = &words[channel->shift / 32];
		uint32_t mask = low_bits(channel->bits) << channel->shift % 32;

		if (!(present & enabled & 1u << n))
			continue;
		uint32_t value = encode(format, n, texel.channel[n]) << channel->shift % 32;
		*word = (*word & ~mask) | (value & mask);
	}
	for (uint32_t done = 0; done < format->size; done += PIECE) {
		uint32_t count = format->size - done < PIECE ? format->size - done : PIECE;
		uint64_t piece;

		memcpy(&piece, (const uint8_t *)words + done, PIECE);
		eu_store(worker, address + done, count, piece);
	}
}
