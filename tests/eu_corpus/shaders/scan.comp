#version 450
/* Sums of all before each in its group, in a shared array as long as a specialization constant. */
layout(local_size_x_id = 0) in;
layout(std430, binding = 0) buffer Data { uint data[]; };
shared uint sums[gl_WorkGroupSize.x];

void main()
{
	uint l = gl_LocalInvocationID.x, own = data[gl_GlobalInvocationID.x];
	sums[l] = own;
	for (uint step = 1; step < gl_WorkGroupSize.x; step *= 2) {
		barrier();
		uint before = l >= step ? sums[l - step] : 0;
		barrier();
		sums[l] += before;
	}
	data[gl_GlobalInvocationID.x] = sums[l] - own;
}
