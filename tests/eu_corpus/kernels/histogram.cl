#define BINS 64
kernel void histogram(global const uchar *in, global uint *bins, int per_item)
{
	local uint mine[BINS];
	int l = get_local_id(0), n = get_local_size(0);
	for (int k = l; k < BINS; k += n)
		mine[k] = 0;
	barrier(CLK_LOCAL_MEM_FENCE);
	size_t first = get_global_id(0) * per_item;
	for (int k = 0; k < per_item; k++)
		atomic_inc(&mine[in[first + k] & (BINS - 1)]);
	barrier(CLK_LOCAL_MEM_FENCE);
	for (int k = l; k < BINS; k += n)
		atomic_add(&bins[k], mine[k]);
}
