#version 450
/* Every atomic on numbers in a buffer, and a histogram in shared memory. */
layout(local_size_x = 64) in;
layout(std430, binding = 0) readonly buffer In { uint data[]; };
layout(std430, binding = 1) buffer Totals {
	uint sum, all, any, odd;
	uint least, most;
	int lowest, highest;
	uint tickets, locked, swapped;
};
layout(std430, binding = 2) buffer Histogram { uint counts[32]; };
layout(std430, binding = 3) buffer Old { uint old[]; };
shared uint here[32];

void main()
{
	uint l = gl_LocalInvocationID.x, i = gl_GlobalInvocationID.x, x = data[i];
	if (l < 32)
		here[l] = 0;
	barrier();
	atomicAdd(here[x & 31], 1);
	atomicAdd(sum, x);
	atomicAnd(all, x | 0xF0);
	atomicOr(any, x & 0xFFFF);
	atomicXor(odd, x);
	atomicMin(least, x);
	atomicMax(most, x);
	atomicMin(lowest, int(x));
	atomicMax(highest, int(x));
	old[i] = atomicAdd(tickets, 1);
	if (atomicCompSwap(locked, 0, x | 1) == 0)
		atomicExchange(swapped, x | 1);
	barrier();
	if (l < 32)
		atomicAdd(counts[l], here[l]);
}
