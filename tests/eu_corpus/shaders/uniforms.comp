#version 450
/* A uniform buffer whose rows are chosen by what a storage buffer holds. */
layout(local_size_x = 16) in;
layout(std140, binding = 0) uniform Table { mat4 turn[4]; vec4 shift[4]; };
layout(std430, binding = 1) readonly buffer Which { uint which[]; };
layout(std430, binding = 2) buffer Points { vec4 points[]; };

void main()
{
	uint i = gl_GlobalInvocationID.x, w = which[i];
	points[i] = turn[w] * points[i] + shift[w];
}
