/* Each group sorts twice as many numbers as it has work items. */
kernel void bitonic(global uint *data, local uint *part)
{
	int l = get_local_id(0), n = get_local_size(0);
	global uint *mine = data + get_group_id(0) * n * 2;
	part[l] = mine[l];
	part[l + n] = mine[l + n];
	for (int size = 2; size <= 2 * n; size *= 2) {
		for (int stride = size / 2; stride > 0; stride /= 2) {
			barrier(CLK_LOCAL_MEM_FENCE);
			int low = 2 * l - (l & (stride - 1));
			bool up = (low & size) == 0;
			uint a = part[low], b = part[low + stride];
			if ((a > b) == up) {
				part[low] = b;
				part[low + stride] = a;
			}
		}
	}
	barrier(CLK_LOCAL_MEM_FENCE);
	mine[l] = part[l];
	mine[l + n] = part[l + n];
}
