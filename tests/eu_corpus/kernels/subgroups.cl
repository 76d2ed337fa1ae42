#pragma OPENCL EXTENSION cl_khr_subgroups : enable
kernel void subgroups(global const int *in, global int *out, int n)
{
	size_t i = get_global_id(0);
	int x = in[i];
	out[i] = get_sub_group_size();
	out[n + i] = sub_group_reduce_add(x);
	out[2 * n + i] = sub_group_scan_inclusive_add(x);
	out[3 * n + i] = sub_group_broadcast(x, 3);
	out[4 * n + i] = sub_group_any(x > 90) + 2 * sub_group_all(x > 5);
	out[5 * n + i] = sub_group_reduce_max(x) - sub_group_reduce_min(x);
	out[6 * n + i] = get_sub_group_local_id();
}
