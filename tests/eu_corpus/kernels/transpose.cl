#define TILE 16
kernel __attribute__((reqd_work_group_size(TILE, TILE, 1)))
void transpose(global const uint *in, global uint *out, int width, int height)
{
	local uint tile[TILE][TILE + 1];
	int x = get_local_id(0), y = get_local_id(1);
	tile[y][x] = in[get_global_id(1) * width + get_global_id(0)];
	barrier(CLK_LOCAL_MEM_FENCE);
	out[(get_group_id(0) * TILE + y) * height + get_group_id(1) * TILE + x] = tile[x][y];
}
