kernel void conversions(global const float *in, global int *out, global float *back, int n)
{
	size_t i = get_global_id(0);
	float x = in[i];
	out[i] = convert_int_sat(x);
	out[n + i] = convert_int_rte(clamp(x, -1.0e9f, 1.0e9f));
	out[2 * n + i] = convert_int_rtp(clamp(x, -1.0e9f, 1.0e9f));
	out[3 * n + i] = convert_int_rtn(clamp(x, -1.0e9f, 1.0e9f));
	out[4 * n + i] = (int)convert_uint_sat(x);
	out[5 * n + i] = convert_char_sat(x) + convert_ushort_sat(x);
	int bits = as_int(x);
	back[i] = (float)bits;
	back[n + i] = (float)(uint)bits;
	back[2 * n + i] = convert_float_rtz(bits);
	back[3 * n + i] = as_float(bits ^ 0x80000000) + isnan(x) + signbit(x);
}
