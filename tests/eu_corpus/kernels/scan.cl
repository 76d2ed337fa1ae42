/* Inclusive prefix sums of each group. */
kernel void scan(global const int *in, global int *out, local int *part)
{
	int l = get_local_id(0), n = get_local_size(0);
	part[l] = in[get_global_id(0)];
	barrier(CLK_LOCAL_MEM_FENCE);
	for (int d = 1; d < n; d *= 2) {
		int add = l >= d ? part[l - d] : 0;
		barrier(CLK_LOCAL_MEM_FENCE);
		part[l] += add;
		barrier(CLK_LOCAL_MEM_FENCE);
	}
	out[get_global_id(0)] = part[l];
}
