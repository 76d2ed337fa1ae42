#version 450
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#extension GL_EXT_shader_explicit_arithmetic_types_float64 : require
/* Integers of 64 bits and double precision. */
layout(local_size_x = 32) in;
layout(std430, binding = 0) readonly buffer A { uint64_t a[]; };
layout(std430, binding = 1) readonly buffer B { uint64_t b[]; };
layout(std430, binding = 2) writeonly buffer I { uint64_t integers[]; };
layout(std430, binding = 3) readonly buffer X { double x[]; };
layout(std430, binding = 4) writeonly buffer D { double doubles[]; };

void main()
{
	uint i = gl_GlobalInvocationID.x, n = a.length();
	integers[i] = a[i] * b[i] + (a[i] >> uint(b[i] & 63));
	integers[n + i] = a[i] / (b[i] | 1) ^ a[i] % (b[i] >> 32 | 1);
	doubles[i] = fma(x[i], x[i], double(1.0));
	doubles[n + i] = double(1.0) / x[i];
	doubles[2 * n + i] = sqrt(abs(x[i]));
}
