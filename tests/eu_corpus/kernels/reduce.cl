kernel void reduce(global const int *in, global int *out, local int *part)
{
	int l = get_local_id(0);
	part[l] = in[get_global_id(0)];
	barrier(CLK_LOCAL_MEM_FENCE);
	for (int half_size = get_local_size(0) / 2; half_size > 0; half_size /= 2) {
		if (l < half_size)
			part[l] += part[l + half_size];
		barrier(CLK_LOCAL_MEM_FENCE);
	}
	if (l == 0)
		out[get_group_id(0)] = part[0];
}
