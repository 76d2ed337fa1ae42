/* A size that fits no group: the last threads and groups are partly empty. */
kernel void guarded(global const int *in, global int *out, int factor)
{
	size_t i = get_global_id(1) * get_global_size(0) + get_global_id(0);
	out[i] = in[i] * factor + (int)get_local_id(0);
}
