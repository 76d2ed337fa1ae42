#pragma OPENCL EXTENSION cl_khr_fp16 : enable
kernel void halves(global const half *a, global const half *b, global half *out, int n)
{
	size_t i = get_global_id(0);
	half x = a[i], y = b[i];
	out[i] = x + y;
	out[n + i] = x * y;
	out[2 * n + i] = fma(x, y, (half)1.0h);
	out[3 * n + i] = max(x, y) - min(x, y);
	out[4 * n + i] = (half)((float)x * 0.5f + (float)(int)(y * (half)8.0h));
}
