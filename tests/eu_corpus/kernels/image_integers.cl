kernel void image_integers(read_only image2d_t in, write_only image2d_t out)
{
	int2 at = (int2)(get_global_id(0), get_global_id(1));
	uint4 pixel = read_imageui(in, at);
	write_imageui(out, at, pixel * 3u + (uint4)(at.x, at.y, get_image_width(in), 7));
}
