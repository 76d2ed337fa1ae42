#version 450
#extension GL_EXT_shader_explicit_arithmetic_types : require
#extension GL_EXT_shader_16bit_storage : require
#extension GL_EXT_shader_8bit_storage : require
/* Numbers of 8 and 16 bits. */
layout(local_size_x = 32) in;
layout(std430, binding = 0) readonly buffer A { uint8_t a[]; };
layout(std430, binding = 1) readonly buffer B { int16_t b[]; };
layout(std430, binding = 2) readonly buffer H { float16_t h[]; };
layout(std430, binding = 3) writeonly buffer X { uint8_t x[]; };
layout(std430, binding = 4) writeonly buffer Y { int16_t y[]; };
layout(std430, binding = 5) writeonly buffer Z { float16_t z[]; };

void main()
{
	uint i = gl_GlobalInvocationID.x;
	x[i] = a[i] * uint8_t(7) + (a[i] >> uint8_t(3));
	y[i] = b[i] * int16_t(3) - (b[i] >> int16_t(2)) + int16_t(a[i]);
	z[i] = h[i] * h[i] + float16_t(0.5);
}
