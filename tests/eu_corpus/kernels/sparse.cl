/* Product of a matrix in compressed rows with a vector. */
kernel void sparse(global const int *starts, global const int *columns, global const float *values,
		   global const float *vector, global float *out)
{
	size_t row = get_global_id(0);
	float sum = 0.0f;
	for (int k = starts[row]; k < starts[row + 1]; k++)
		sum += values[k] * vector[columns[k]];
	out[row] = sum;
}
