/* Halves in memory alone, which needs no extension. */
kernel void half_storage(global const half *in, global half *out, global float *wide)
{
	size_t i = get_global_id(0);
	float x = vload_half(i, in);
	wide[i] = x;
	vstore_half_rte(x * 1.25f + 0.1f, i, out);
}
