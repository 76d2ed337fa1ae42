#version 450
/* y = a * x + y with push constants, as many rounds as a specialization constant says. */
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint ROUNDS = 1;
layout(std430, binding = 0) readonly buffer X { float x[]; };
layout(std430, binding = 1) buffer Y { float y[]; };
layout(push_constant) uniform Constants { float a; uint count; };

void main()
{
	uint i = gl_GlobalInvocationID.x;
	if (i >= count)
		return;
	float sum = y[i];
	for (uint k = 0; k < ROUNDS; k++)
		sum = fma(a, x[i], sum);
	y[i] = sum;
}
