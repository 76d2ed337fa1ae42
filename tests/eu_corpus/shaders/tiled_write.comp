#version 450
/* Writes a pattern into a tiled image. */
layout(local_size_x = 8, local_size_y = 8) in;
layout(rgba16f, binding = 0) writeonly uniform image2D pattern;

void main()
{
	ivec2 at = ivec2(gl_GlobalInvocationID.xy);
	if (all(lessThan(at, imageSize(pattern))))
		imageStore(pattern, at, vec4(at, at.x ^ at.y, 1.0) * 0.5);
}
