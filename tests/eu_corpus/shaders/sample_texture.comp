#version 450
/* Filtered and exact samples of textures with two ways to treat what lies outside. */
layout(local_size_x = 64) in;
layout(binding = 0) uniform sampler2D smooth_texture;
layout(binding = 1) uniform sampler2D framed;
layout(std430, binding = 2) readonly buffer Places { vec2 places[]; };
layout(std430, binding = 3) writeonly buffer Colors { vec4 colors[]; };

void main()
{
	uint i = gl_GlobalInvocationID.x, n = places.length();
	if (i >= n)
		return;
	vec2 at = places[i];
	ivec2 size = textureSize(framed, 0);
	colors[i] = textureLod(smooth_texture, at, 0.0);
	colors[n + i] = textureLod(framed, at, 0.0);
	colors[2 * n + i] = texelFetch(framed, ivec2(i, i / 3) % size, 0);
	colors[3 * n + i] = textureGather(smooth_texture, at, 1);
}
