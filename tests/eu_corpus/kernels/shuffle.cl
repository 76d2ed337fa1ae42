#pragma OPENCL EXTENSION cl_intel_subgroups : enable
kernel void shuffle_lanes(global const int *in, global int *out, int n)
{
	size_t i = get_global_id(0);
	int x = in[i];
	out[i] = get_sub_group_size();
	out[n + i] = intel_sub_group_shuffle(x, (x + 5) & 7);
	out[2 * n + i] = intel_sub_group_shuffle_xor(x, 3);
	out[3 * n + i] = (int)intel_sub_group_block_read((global const uint *)in);
}
