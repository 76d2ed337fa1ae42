/* Sampling: from coordinates to a colour. */
#ifndef VGPU_EU_SAMPLING_H
#define VGPU_EU_SAMPLING_H

#include "surface.h"

enum eu_map_filter { EU_NEAREST = 0 };
enum eu_mip_filter { EU_MIP_NONE = 0, EU_MIP_NEAREST = 1, EU_MIP_LINEAR = 3 };

/* SAMPLER_STATE. */
struct eu_sampler {
	uint32_t disabled;
	uint32_t mip;
	uint32_t filter[2]; /* magnified, minified */
	uint32_t rounds[2][3]; /* the same; u, v, r */
	uint32_t modes[3];
	uint32_t unnormalised;
	uint32_t shadow;
	double bias;
	double minimum_lod;
	double maximum_lod;
	uint64_t border; /* GPU address of the colour, read where it is needed */
};

/* What a pixel asks for. */
struct eu_sample {
	double at[3]; /* u, v, r */
	double element; /* of an array */
	double lod;
	int32_t offset[3];
	int compares;
	float reference;
	int gathers; /* four texels of a channel in place of a colour */
	uint32_t channel;
};

struct eu_sampler eu_sampler_at(struct eu_worker *worker, uint64_t address);

/* The colour, channels in their final places. */
struct eu_texel eu_sample_colour(struct eu_worker *worker, const struct eu_surface *surface,
				 const struct eu_sampler *sampler, const struct eu_sample *sample);

/* A texel by whole numbers: 0 outside. */
struct eu_texel eu_fetch_texel(struct eu_worker *worker, const struct eu_surface *surface,
			       const int32_t *at, int32_t level);

/* Channels where the surface wants them. */
struct eu_texel eu_select(const struct eu_surface *surface, struct eu_texel texel);

/* Level of detail by derivatives, in texels. */
double eu_lod_of(const struct eu_surface *surface, const double *along_x, const double *along_y);

#endif
