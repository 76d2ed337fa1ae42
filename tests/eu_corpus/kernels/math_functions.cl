kernel void math_functions(global const float *a, global const float *b, global float *out, int n)
{
	size_t i = get_global_id(0);
	float x = a[i], y = b[i];
	out[i] = sin(x);
	out[n + i] = cos(x);
	out[2 * n + i] = exp(x);
	out[3 * n + i] = log(y);
	out[4 * n + i] = pow(y, x);
	out[5 * n + i] = atan2(x, y);
	out[6 * n + i] = sqrt(y);
	out[7 * n + i] = x / y;
	out[8 * n + i] = fmod(x, y);
	out[9 * n + i] = tan(x);
	out[10 * n + i] = floor(x) + ceil(y) + rint(x) + trunc(y);
	out[11 * n + i] = exp2(x) + log2(y);
}
