kernel void integers(global const int *a, global const int *b, global int *out, int n)
{
	size_t i = get_global_id(0);
	int x = a[i], y = b[i];
	uint u = (uint)x, v = (uint)y;
	out[i] = x / y;
	out[n + i] = x % y;
	out[2 * n + i] = (int)(u / v);
	out[3 * n + i] = (int)(u % v);
	out[4 * n + i] = mul_hi(x, y);
	out[5 * n + i] = (int)mul_hi(u, v);
	out[6 * n + i] = clz(x);
	out[7 * n + i] = popcount(x);
	out[8 * n + i] = (int)rotate(u, v & 31);
	out[9 * n + i] = x * y + (x >> (y & 31)) + (int)(u >> (v & 31));
	out[10 * n + i] = x / 7 + (int)(u / 10u) + x % 1000;
	out[11 * n + i] = max(x, y) ^ min(x, y);
}
