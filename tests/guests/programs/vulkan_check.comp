#version 450
/* Mixes each number, turns a group's round through shared memory, adds the group's sum. */
layout(local_size_x = 64) in;
layout(std430, binding = 0) readonly buffer In { uint data[]; } from;
layout(std430, binding = 1) writeonly buffer Out { uint data[]; } to;
layout(push_constant) uniform Constants { uint rounds; uint add; } constants;

shared uint mixed[64];
shared uint sum;

void main()
{
	uint l = gl_LocalInvocationID.x;
	uint x = from.data[gl_GlobalInvocationID.x];

	if (l == 0)
		sum = 0;
	for (uint k = 0; k < constants.rounds; k++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		x += k;
	}
	mixed[l] = x;
	barrier();
	atomicAdd(sum, x);
	barrier();
	to.data[gl_GlobalInvocationID.x] = mixed[63 - l] + sum * constants.add;
}
