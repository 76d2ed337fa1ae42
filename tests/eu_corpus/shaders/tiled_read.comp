#version 450
/* Reads it through a sampler and as a storage image. */
layout(local_size_x = 8, local_size_y = 8) in;
layout(rgba16f, binding = 0) readonly uniform image2D pattern;
layout(binding = 1) uniform sampler2D sampled;
layout(std430, binding = 2) writeonly buffer Out { vec4 seen[]; };

void main()
{
	ivec2 at = ivec2(gl_GlobalInvocationID.xy), size = imageSize(pattern);
	if (any(greaterThanEqual(at, size)))
		return;
	uint i = at.y * size.x + at.x;
	seen[i] = texelFetch(sampled, at, 0);
	seen[size.x * size.y + i] = imageLoad(pattern, at) - textureLod(sampled, (vec2(at) + 0.5) / size, 0.0);
}
