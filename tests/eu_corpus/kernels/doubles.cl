#pragma OPENCL EXTENSION cl_khr_fp64 : enable
kernel void doubles(global const double *a, global const double *b, global double *out, int n)
{
	size_t i = get_global_id(0);
	double x = a[i], y = b[i];
	out[i] = fma(x, y, 1.5);
	out[n + i] = x / y;
	out[2 * n + i] = sqrt(x);
	out[3 * n + i] = x < y ? x - y : floor(x * 10.0);
	out[4 * n + i] = (double)(long)(x * 1.0e6) + (double)(float)y;
}
