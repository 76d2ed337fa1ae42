/* What a work item is told about itself. */
kernel void work_items(global uint *out)
{
	size_t w = get_global_size(0), h = get_global_size(1);
	size_t x = get_global_id(0) - get_global_offset(0);
	size_t y = get_global_id(1) - get_global_offset(1);
	size_t z = get_global_id(2) - get_global_offset(2);
	size_t i = ((z * h + y) * w + x) * 8;
	out[i] = get_global_id(0);
	out[i + 1] = get_global_id(1);
	out[i + 2] = get_global_id(2);
	out[i + 3] = get_local_id(0) | get_local_id(1) << 8 | get_local_id(2) << 16;
	out[i + 4] = get_group_id(0) | get_group_id(1) << 8 | get_group_id(2) << 16;
	out[i + 5] = get_local_size(0) | get_local_size(1) << 8 | get_local_size(2) << 16;
	out[i + 6] = get_num_groups(0) | get_num_groups(1) << 8 | get_num_groups(2) << 16;
	out[i + 7] = get_work_dim();
}
