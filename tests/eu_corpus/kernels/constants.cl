constant float table[8] = {0.5f, -1.25f, 3.0f, 7.75f, 1.0e6f, -0.0625f, 12.0f, 2.0f};

kernel void constants(global const uint *in, constant float *more, global float *out)
{
	size_t i = get_global_id(0);
	uint x = in[i];
	out[i] = table[x & 7] + more[(x >> 3) & 15];
}
