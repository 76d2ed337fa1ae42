#version 450
/* A product of square matrices in tiles of shared memory. */
layout(local_size_x = 8, local_size_y = 8) in;
layout(std430, binding = 0) readonly buffer A { float a[]; };
layout(std430, binding = 1) readonly buffer B { float b[]; };
layout(std430, binding = 2) writeonly buffer C { float c[]; };
layout(push_constant) uniform Constants { uint n; };
shared float left[8][8], right[8][8];

void main()
{
	uvec2 at = gl_GlobalInvocationID.xy, l = gl_LocalInvocationID.xy;
	float sum = 0.0;
	for (uint k = 0; k < n; k += 8) {
		left[l.y][l.x] = a[at.y * n + k + l.x];
		right[l.y][l.x] = b[(k + l.y) * n + at.x];
		barrier();
		for (uint i = 0; i < 8; i++)
			sum += left[l.y][i] * right[i][l.x];
		barrier();
	}
	c[at.y * n + at.x] = sum;
}
