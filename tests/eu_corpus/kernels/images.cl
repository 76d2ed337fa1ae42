constant sampler_t nearest = CLK_NORMALIZED_COORDS_FALSE | CLK_ADDRESS_CLAMP | CLK_FILTER_NEAREST;

/* Shifted by one pixel, with the border's colour, and channels turned round. */
kernel void images(read_only image2d_t in, write_only image2d_t out)
{
	int2 at = (int2)(get_global_id(0), get_global_id(1));
	write_imagef(out, at, read_imagef(in, nearest, at - (int2)(1, 1)).wzyx);
}
