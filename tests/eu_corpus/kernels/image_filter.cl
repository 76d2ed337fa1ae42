constant sampler_t linear = CLK_NORMALIZED_COORDS_TRUE | CLK_ADDRESS_CLAMP_TO_EDGE |
			    CLK_FILTER_LINEAR;

/* Twice as large, filtered. */
kernel void image_filter(read_only image2d_t in, global float4 *out)
{
	int x = get_global_id(0), y = get_global_id(1);
	int w = get_global_size(0), h = get_global_size(1);
	float2 at = (float2)((x + 0.5f) / w, (y + 0.5f) / h);
	out[y * w + x] = read_imagef(in, linear, at);
}
