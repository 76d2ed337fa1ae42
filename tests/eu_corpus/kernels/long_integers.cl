kernel void long_integers(global const long *a, global const long *b, global long *out, int n)
{
	size_t i = get_global_id(0);
	long x = a[i], y = b[i];
	ulong u = (ulong)x, v = (ulong)y;
	out[i] = x + y;
	out[n + i] = x * y;
	out[2 * n + i] = x / y;
	out[3 * n + i] = (long)(u % v);
	out[4 * n + i] = (x << (y & 63)) ^ (x >> (y & 63)) ^ (long)(u >> (v & 63));
	out[5 * n + i] = mul_hi(x, y);
	out[6 * n + i] = x < y ? x - y : (long)(u > v);
	out[7 * n + i] = (long)popcount(u) + (long)clz(v);
}
