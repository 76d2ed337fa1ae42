kernel void saxpy(global float *y, global const float *x, float alpha)
{
	size_t i = get_global_id(0);
	y[i] = alpha * x[i] + y[i];
}
