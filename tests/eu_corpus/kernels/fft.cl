/* 256 points a group, 128 work items; decimation in time, twiddles from a table. */
#define POINTS 256
kernel __attribute__((reqd_work_group_size(POINTS / 2, 1, 1)))
void fft(global const float2 *in, global float2 *out, global const float2 *twiddles)
{
	local float2 data[POINTS];
	int l = get_local_id(0);
	size_t first = get_group_id(0) * POINTS;
	for (int k = l; k < POINTS; k += POINTS / 2) {
		int reversed = 0;
		for (int bit = 0; bit < 8; bit++)
			reversed |= ((k >> bit) & 1) << (7 - bit);
		data[reversed] = in[first + k];
	}
	barrier(CLK_LOCAL_MEM_FENCE);
	for (int half_size = 1; half_size < POINTS; half_size *= 2) {
		int at = l & (half_size - 1);
		int low = (l - at) * 2 + at, high = low + half_size;
		float2 w = twiddles[at * (POINTS / 2 / half_size)];
		float2 a = data[low], b = data[high];
		float2 t = (float2)(b.x * w.x - b.y * w.y, b.x * w.y + b.y * w.x);
		data[low] = a + t;
		data[high] = a - t;
		barrier(CLK_LOCAL_MEM_FENCE);
	}
	for (int k = l; k < POINTS; k += POINTS / 2)
		out[first + k] = data[k];
}
