#version 450
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_vote : require
#extension GL_KHR_shader_subgroup_ballot : require
#extension GL_KHR_shader_subgroup_shuffle : require
#extension GL_KHR_shader_subgroup_shuffle_relative : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#extension GL_KHR_shader_subgroup_clustered : require
#extension GL_KHR_shader_subgroup_quad : require
/* What the invocations of a subgroup know of each other. */
layout(local_size_x = 64) in;
layout(std430, binding = 0) readonly buffer In { uint data[]; };
layout(std430, binding = 1) writeonly buffer Out { uint told[][16]; };

void main()
{
	uint i = gl_GlobalInvocationID.x, x = data[i];
	told[i][0] = gl_SubgroupID;
	told[i][1] = gl_SubgroupInvocationID;
	told[i][2] = gl_SubgroupSize;
	told[i][3] = subgroupAdd(x);
	told[i][4] = subgroupInclusiveAdd(x);
	told[i][5] = subgroupExclusiveMax(x);
	told[i][6] = subgroupMin(x);
	told[i][7] = subgroupBallot((x & 1) != 0).x;
	told[i][8] = subgroupBallotExclusiveBitCount(subgroupBallot((x & 2) != 0));
	told[i][9] = subgroupShuffleXor(x, 3);
	told[i][10] = subgroupBroadcastFirst(x);
	told[i][11] = subgroupQuadSwapHorizontal(x);
	told[i][12] = subgroupClusteredXor(x, 4);
	told[i][13] = uint(subgroupAll(x > 5)) | uint(subgroupAny(x < 5)) << 1;
	told[i][14] = 0;
	told[i][15] = 0;
	if ((x & 4) != 0) {
		told[i][14] = subgroupAdd(1);
		told[i][15] = subgroupElect() ? 1 : 2;
	}
}
