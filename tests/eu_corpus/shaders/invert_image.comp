#version 450
/* Loads and stores of texels with conversion, atomics on an image of integers. */
layout(local_size_x = 8, local_size_y = 4) in;
layout(rgba8, binding = 0) uniform image2D picture;
layout(rgba32f, binding = 1) writeonly uniform image2D turned;
layout(r32ui, binding = 2) uniform uimage2D counted;

void main()
{
	ivec2 at = ivec2(gl_GlobalInvocationID.xy), size = imageSize(picture);
	if (any(greaterThanEqual(at, size)))
		return;
	vec4 color = imageLoad(picture, at);
	imageStore(turned, at.yx, color * 2.0);
	imageStore(picture, at, vec4(1.0 - color.rgb, color.a));
	imageAtomicAdd(counted, at & 3, uint(color.r * 255.0 + 0.5));
	imageAtomicMax(counted, ivec2(4, at.y & 3), uint(at.x));
}
