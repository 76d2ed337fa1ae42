/* A Vulkan compute program: one pipeline on the first integrated GPU, answers compared with the
 * processor's. Arguments: the shader as SPIR-V (`vulkan_check.comp`), and a number to begin with.
 *
 * Prints "device NAME" and "pass NAME" or "fail NAME: why".
 */

#include <vulkan/vulkan.h>

#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ITEMS = 4096, GROUP = 64, MOST_DEVICES = 8, MOST_BYTES = 1 << 20 };

struct constants {
	uint32_t rounds;
	uint32_t add;
};

static PFN_vkGetInstanceProcAddr get;
static VkInstance instance;

#define CALL(name) ((PFN_##name)get(instance, #name))

static void must(VkResult result, const char *what)
{
	if (result != VK_SUCCESS) {
		printf("fail %s: Vulkan error %d\n", what, result);
		exit(1);
	}
}

static VkPhysicalDevice first_gpu(void)
{
	VkPhysicalDevice devices[MOST_DEVICES];
	uint32_t count = MOST_DEVICES;

	CALL(vkEnumeratePhysicalDevices)(instance, &count, devices);
	for (uint32_t i = 0; i < count; i++) {
		VkPhysicalDeviceProperties facts;
		CALL(vkGetPhysicalDeviceProperties)(devices[i], &facts);
		if (facts.deviceType == VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU) {
			printf("device %s\n", facts.deviceName);
			return devices[i];
		}
	}
	printf("fail device: no integrated GPU among %u\n", count);
	exit(1);
}

static uint32_t memory_type(VkPhysicalDevice gpu, uint32_t allowed)
{
	const VkMemoryPropertyFlags wanted =
		VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
	VkPhysicalDeviceMemoryProperties facts;

	CALL(vkGetPhysicalDeviceMemoryProperties)(gpu, &facts);
	for (uint32_t i = 0; i < facts.memoryTypeCount; i++)
		if (allowed >> i & 1 && (facts.memoryTypes[i].propertyFlags & wanted) == wanted)
			return i;
	printf("fail memory: none is visible to the processor\n");
	exit(1);
}

/* A storage buffer in memory that stays mapped. */
static VkBuffer make_buffer(VkPhysicalDevice gpu, VkDevice device, uint32_t **mapped)
{
	VkBufferCreateInfo wanted = {
		.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
		.size = ITEMS * sizeof(uint32_t),
		.usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT,
	};
	VkBuffer buffer;
	VkDeviceMemory memory;
	VkMemoryRequirements needs;

	must(CALL(vkCreateBuffer)(device, &wanted, NULL, &buffer), "buffer");
	CALL(vkGetBufferMemoryRequirements)(device, buffer, &needs);
	VkMemoryAllocateInfo allocation = {
		.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
		.allocationSize = needs.size,
		.memoryTypeIndex = memory_type(gpu, needs.memoryTypeBits),
	};
	must(CALL(vkAllocateMemory)(device, &allocation, NULL, &memory), "memory");
	must(CALL(vkBindBufferMemory)(device, buffer, memory, 0), "memory");
	must(CALL(vkMapMemory)(device, memory, 0, VK_WHOLE_SIZE, 0, (void **)mapped), "memory");
	return buffer;
}

static VkShaderModule read_shader(VkDevice device, const char *path)
{
	static uint32_t code[MOST_BYTES / 4];
	FILE *file = fopen(path, "rb");
	size_t size = file ? fread(code, 1, sizeof(code), file) : 0;
	VkShaderModuleCreateInfo wanted = {
		.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
		.codeSize = size,
		.pCode = code,
	};
	VkShaderModule shader;

	if (!size) {
		printf("fail shader: %s cannot be read\n", path);
		exit(1);
	}
	fclose(file);
	must(CALL(vkCreateShaderModule)(device, &wanted, NULL, &shader), "shader");
	return shader;
}

struct pipeline {
	VkPipeline pipeline;
	VkPipelineLayout layout;
	VkDescriptorSet set;
};

static struct pipeline make_pipeline(VkDevice device, VkShaderModule shader, VkBuffer in,
				     VkBuffer out)
{
	struct pipeline made;
	VkDescriptorSetLayoutBinding bindings[2] = {
		{0, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1, VK_SHADER_STAGE_COMPUTE_BIT, NULL},
		{1, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1, VK_SHADER_STAGE_COMPUTE_BIT, NULL},
	};
	VkDescriptorSetLayoutCreateInfo set_info = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
		.bindingCount = 2,
		.pBindings = bindings,
	};
	VkDescriptorSetLayout set_layout;
	must(CALL(vkCreateDescriptorSetLayout)(device, &set_info, NULL, &set_layout), "layout");
	VkPushConstantRange pushed = {VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof(struct constants)};
	VkPipelineLayoutCreateInfo layout_info = {
		.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
		.setLayoutCount = 1,
		.pSetLayouts = &set_layout,
		.pushConstantRangeCount = 1,
		.pPushConstantRanges = &pushed,
	};
	must(CALL(vkCreatePipelineLayout)(device, &layout_info, NULL, &made.layout), "layout");
	VkComputePipelineCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
		.stage = {
			.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
			.stage = VK_SHADER_STAGE_COMPUTE_BIT,
			.module = shader,
			.pName = "main",
		},
		.layout = made.layout,
	};
	must(CALL(vkCreateComputePipelines)(device, VK_NULL_HANDLE, 1, &info, NULL, &made.pipeline),
	     "pipeline");
	VkDescriptorPoolSize size = {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 2};
	VkDescriptorPoolCreateInfo pool_info = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
		.maxSets = 1,
		.poolSizeCount = 1,
		.pPoolSizes = &size,
	};
	VkDescriptorPool pool;
	must(CALL(vkCreateDescriptorPool)(device, &pool_info, NULL, &pool), "descriptors");
	VkDescriptorSetAllocateInfo allocation = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
		.descriptorPool = pool,
		.descriptorSetCount = 1,
		.pSetLayouts = &set_layout,
	};
	must(CALL(vkAllocateDescriptorSets)(device, &allocation, &made.set), "descriptors");
	VkDescriptorBufferInfo buffers[2] = {{in, 0, VK_WHOLE_SIZE}, {out, 0, VK_WHOLE_SIZE}};
	VkWriteDescriptorSet write = {
		.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
		.dstSet = made.set,
		.descriptorCount = 2,
		.descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
		.pBufferInfo = buffers,
	};
	CALL(vkUpdateDescriptorSets)(device, 1, &write, 0, NULL);
	return made;
}

static void run(VkDevice device, uint32_t family, const struct pipeline *made,
		const struct constants *constants)
{
	VkQueue queue;
	VkCommandPool pool;
	VkCommandBuffer commands;
	VkCommandPoolCreateInfo pool_info = {
		.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
		.queueFamilyIndex = family,
	};

	CALL(vkGetDeviceQueue)(device, family, 0, &queue);
	must(CALL(vkCreateCommandPool)(device, &pool_info, NULL, &pool), "commands");
	VkCommandBufferAllocateInfo allocation = {
		.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
		.commandPool = pool,
		.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
		.commandBufferCount = 1,
	};
	must(CALL(vkAllocateCommandBuffers)(device, &allocation, &commands), "commands");
	VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
	must(CALL(vkBeginCommandBuffer)(commands, &begin), "commands");
	CALL(vkCmdBindPipeline)(commands, VK_PIPELINE_BIND_POINT_COMPUTE, made->pipeline);
	CALL(vkCmdBindDescriptorSets)(commands, VK_PIPELINE_BIND_POINT_COMPUTE, made->layout, 0, 1,
				      &made->set, 0, NULL);
	CALL(vkCmdPushConstants)(commands, made->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0,
				 sizeof(*constants), constants);
	CALL(vkCmdDispatch)(commands, ITEMS / GROUP, 1, 1);
	must(CALL(vkEndCommandBuffer)(commands), "commands");
	VkSubmitInfo submission = {
		.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
		.commandBufferCount = 1,
		.pCommandBuffers = &commands,
	};
	must(CALL(vkQueueSubmit)(queue, 1, &submission, VK_NULL_HANDLE), "submission");
	must(CALL(vkQueueWaitIdle)(queue), "submission");
}

/* What the shader does, for one group. */
static void expect(const uint32_t *in, uint32_t *out, const struct constants *constants)
{
	uint32_t sum = 0, mixed[GROUP];

	for (int i = 0; i < GROUP; i++) {
		uint32_t x = in[i];
		for (uint32_t k = 0; k < constants->rounds; k++) {
			x ^= x << 13;
			x ^= x >> 17;
			x ^= x << 5;
			x += k;
		}
		mixed[i] = x;
		sum += x;
	}
	for (int i = 0; i < GROUP; i++)
		out[i] = mixed[GROUP - 1 - i] + sum * constants->add;
}

int main(int count, char **words)
{
	void *library = dlopen("libvulkan.so.1", RTLD_NOW);
	const struct constants constants = {40, 3};
	uint32_t *in, *out, expected[GROUP];
	uint32_t x = count > 2 ? (uint32_t)atoi(words[2]) | 1 : 1;

	if (!library || count < 2) {
		printf("fail library: %s\n", library ? "no shader named" : dlerror());
		return 1;
	}
	get = (PFN_vkGetInstanceProcAddr)dlsym(library, "vkGetInstanceProcAddr");
	VkApplicationInfo application = {
		.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
		.apiVersion = VK_API_VERSION_1_1,
	};
	VkInstanceCreateInfo instance_info = {
		.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
		.pApplicationInfo = &application,
	};
	must(CALL(vkCreateInstance)(&instance_info, NULL, &instance), "instance");
	VkPhysicalDevice gpu = first_gpu();
	float priority = 1;
	VkDeviceQueueCreateInfo queue_info = {
		.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
		.queueCount = 1,
		.pQueuePriorities = &priority,
	};
	VkDeviceCreateInfo device_info = {
		.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
		.queueCreateInfoCount = 1,
		.pQueueCreateInfos = &queue_info,
	};
	VkDevice device;
	must(CALL(vkCreateDevice)(gpu, &device_info, NULL, &device), "device");
	VkBuffer from = make_buffer(gpu, device, &in), to = make_buffer(gpu, device, &out);
	for (int i = 0; i < ITEMS; i++) {
		x = x * 1664525 + 1013904223;
		in[i] = x;
	}
	memset(out, 0, ITEMS * sizeof(*out));
	struct pipeline made = make_pipeline(device, read_shader(device, words[1]), from, to);
	run(device, 0, &made, &constants);
	int wrong = 0;
	for (int at = 0; at < ITEMS; at += GROUP) {
		expect(in + at, expected, &constants);
		for (int i = 0; i < GROUP; i++)
			wrong += out[at + i] != expected[i];
	}
	if (wrong)
		printf("fail compute: %d of %d answers are wrong\n", wrong, ITEMS);
	else
		printf("pass compute\n");
	return wrong ? 1 : 0;
}
