#version 450
/* Tells where each group of a walk stands. */
layout(local_size_x = 4, local_size_y = 2, local_size_z = 2) in;
layout(std430, binding = 1) buffer Seen { uvec4 seen[]; };

void main()
{
	uvec3 g = gl_WorkGroupID, n = gl_NumWorkGroups;
	uint i = ((g.z * n.y + g.y) * n.x + g.x) * 16 + gl_LocalInvocationIndex;
	seen[i] = uvec4(gl_GlobalInvocationID, i + n.x * n.y * n.z);
}
