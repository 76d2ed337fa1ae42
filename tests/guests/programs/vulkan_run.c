/* Runs compute shaders as a job says: a text file with a resource, a setting or a step on each line.
 *
 *   buffer BINDING FILE           a storage buffer with the file's content
 *   uniform BINDING FILE          a uniform buffer
 *   image BINDING FORMAT W H FILE a linear storage image with the file's texels
 *   tiled BINDING SAMPLED FORMAT W H   a tiled image: a storage image at BINDING and, for shaders
 *                                 that sample it, at binding SAMPLED
 *   texture BINDING FORMAT W H FILTER ADDRESS FILE   a linear image with a sampler
 *   push FILE                     push constants, for all steps
 *   constant ID VALUE             a specialization constant, for all steps
 *   run SHADER X Y Z              a step: so many groups
 *   indirect SHADER BINDING OFFSET   a step whose groups are counted in a buffer
 *
 * Each step sees what those before it wrote. Afterwards the files of buffers and images hold what
 * these hold. FORMAT is a number of VkFormat, FILTER of VkFilter, ADDRESS of VkSamplerAddressMode.
 *
 * Argument: the job; files are named from the working directory. Prints "device NAME", and "done",
 * "lacks FEATURE" or "fail WHAT: why"; with the argument "features" what the device has.
 */

#include "vulkan_start.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 32, MOST_BYTES = 1 << 22, NAME = 128, MOST_PUSHED = 128 };

struct resource {
	uint32_t binding;
	VkDescriptorType type;
	char file[NAME];
	VkBuffer buffer;
	VkImage image;
	VkImageView view;
	VkSampler sampler;
	VkImageLayout initial;
	uint8_t *mapped;
	size_t size; /* of the file */
	size_t row, pitch; /* of an image: bytes in the file and in memory */
	uint32_t rows;
};

struct step {
	VkPipeline pipeline;
	VkBuffer counts;
	VkDeviceSize offset;
	uint32_t groups[3];
};

static struct {
	struct resource resources[MOST];
	uint32_t resource_count;
	struct step steps[MOST];
	uint32_t step_count;
	uint8_t pushed[MOST_PUSHED];
	uint32_t pushed_size;
	VkSpecializationMapEntry entries[MOST];
	uint32_t constants[MOST];
	uint32_t constant_count;
} job;

static VkDescriptorSetLayout set_layout;
static VkPipelineLayout layout;
static uint8_t content[MOST_BYTES];

static size_t read_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	size_t size = file ? fread(content, 1, sizeof(content), file) : 0;

	if (!size)
		fail(path, "cannot be read");
	fclose(file);
	return size;
}

static struct resource *new_resource(uint32_t binding, VkDescriptorType type, const char *file)
{
	if (job.resource_count == MOST)
		fail("job", "too many resources");
	struct resource *made = &job.resources[job.resource_count++];

	made->binding = binding;
	made->type = type;
	snprintf(made->file, sizeof(made->file), "%s", file);
	return made;
}

static void make_buffer(uint32_t binding, VkDescriptorType type, const char *file)
{
	struct resource *made = new_resource(binding, type, file);
	made->size = read_file(file);
	VkBufferCreateInfo wanted = {
		.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
		.size = made->size,
		.usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_UNIFORM_BUFFER_BIT
			 | VK_BUFFER_USAGE_INDIRECT_BUFFER_BIT,
	};
	VkMemoryRequirements needs;
	void *mapped;

	must(CALL(vkCreateBuffer)(device, &wanted, NULL, &made->buffer), "buffer");
	CALL(vkGetBufferMemoryRequirements)(device, made->buffer, &needs);
	VkDeviceMemory memory = allocate(needs);
	must(CALL(vkBindBufferMemory)(device, made->buffer, memory, 0), "memory");
	must(CALL(vkMapMemory)(device, memory, 0, VK_WHOLE_SIZE, 0, &mapped), "memory");
	made->mapped = mapped;
	memcpy(mapped, content, made->size);
}

static VkImageView make_image(struct resource *made, VkFormat format, uint32_t width,
			      uint32_t height, bool linear, VkImageUsageFlags usage)
{
	VkImageCreateInfo wanted = {
		.sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
		.imageType = VK_IMAGE_TYPE_2D,
		.format = format,
		.extent = {width, height, 1},
		.mipLevels = 1,
		.arrayLayers = 1,
		.samples = VK_SAMPLE_COUNT_1_BIT,
		.tiling = linear ? VK_IMAGE_TILING_LINEAR : VK_IMAGE_TILING_OPTIMAL,
		.usage = usage,
		.initialLayout = linear ? VK_IMAGE_LAYOUT_PREINITIALIZED : VK_IMAGE_LAYOUT_UNDEFINED,
	};
	VkMemoryRequirements needs;
	VkImageView view;

	made->initial = wanted.initialLayout;
	must(CALL(vkCreateImage)(device, &wanted, NULL, &made->image), "image");
	CALL(vkGetImageMemoryRequirements)(device, made->image, &needs);
	VkDeviceMemory memory = allocate(needs);
	must(CALL(vkBindImageMemory)(device, made->image, memory, 0), "image");
	VkImageViewCreateInfo seen = {
		.sType = VK_STRUCTURE_TYPE_IMAGE_VIEW_CREATE_INFO,
		.image = made->image,
		.viewType = VK_IMAGE_VIEW_TYPE_2D,
		.format = format,
		.subresourceRange = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1},
	};
	must(CALL(vkCreateImageView)(device, &seen, NULL, &view), "image");
	if (linear) {
		VkImageSubresource level = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0};
		VkSubresourceLayout place;
		void *mapped;
		CALL(vkGetImageSubresourceLayout)(device, made->image, &level, &place);
		must(CALL(vkMapMemory)(device, memory, 0, VK_WHOLE_SIZE, 0, &mapped), "memory");
		made->mapped = (uint8_t *)mapped + place.offset;
		made->pitch = place.rowPitch;
		made->size = read_file(made->file);
		made->rows = height;
		made->row = made->size / height;
		for (uint32_t y = 0; y < height; y++)
			memcpy(made->mapped + y * made->pitch, content + y * made->row, made->row);
	}
	return view;
}

static VkSampler make_sampler(VkFilter filter, VkSamplerAddressMode address)
{
	VkSampler sampler;
	VkSamplerCreateInfo wanted = {
		.sType = VK_STRUCTURE_TYPE_SAMPLER_CREATE_INFO,
		.magFilter = filter,
		.minFilter = filter,
		.addressModeU = address,
		.addressModeV = address,
		.addressModeW = address,
		.borderColor = VK_BORDER_COLOR_FLOAT_OPAQUE_WHITE,
	};

	must(CALL(vkCreateSampler)(device, &wanted, NULL, &sampler), "sampler");
	return sampler;
}

static void make_linear(uint32_t binding, bool sampled, VkFormat format, uint32_t width,
			uint32_t height, VkFilter filter, VkSamplerAddressMode address,
			const char *file)
{
	struct resource *made = new_resource(binding, VK_DESCRIPTOR_TYPE_STORAGE_IMAGE, file);
	VkImageUsageFlags usage = VK_IMAGE_USAGE_STORAGE_BIT;

	if (sampled) {
		made->type = VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER;
		made->sampler = make_sampler(filter, address);
		usage = VK_IMAGE_USAGE_SAMPLED_BIT;
	}
	made->view = make_image(made, format, width, height, true, usage);
}

static void make_tiled(uint32_t binding, uint32_t sampled, VkFormat format, uint32_t width,
		       uint32_t height)
{
	struct resource *stored = new_resource(binding, VK_DESCRIPTOR_TYPE_STORAGE_IMAGE, "");
	stored->view = make_image(stored, format, width, height, false,
				  VK_IMAGE_USAGE_STORAGE_BIT | VK_IMAGE_USAGE_SAMPLED_BIT);
	struct resource *read =
		new_resource(sampled, VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER, "");
	read->view = stored->view;
	read->sampler = make_sampler(VK_FILTER_NEAREST, VK_SAMPLER_ADDRESS_MODE_CLAMP_TO_EDGE);
}

static VkDescriptorSet make_set(void)
{
	VkDescriptorSetLayoutBinding bindings[MOST];
	VkDescriptorPoolSize sizes[MOST];
	VkDescriptorPool pool;
	VkDescriptorSet set;
	uint32_t count = job.resource_count;

	for (uint32_t i = 0; i < count; i++) {
		const struct resource *each = &job.resources[i];
		bindings[i] = (VkDescriptorSetLayoutBinding){
			each->binding, each->type, 1, VK_SHADER_STAGE_COMPUTE_BIT, NULL};
		sizes[i] = (VkDescriptorPoolSize){each->type, 1};
	}
	VkDescriptorSetLayoutCreateInfo set_info = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
		.bindingCount = count,
		.pBindings = bindings,
	};
	must(CALL(vkCreateDescriptorSetLayout)(device, &set_info, NULL, &set_layout), "layout");
	VkPushConstantRange range = {VK_SHADER_STAGE_COMPUTE_BIT, 0, MOST_PUSHED};
	VkPipelineLayoutCreateInfo layout_info = {
		.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
		.setLayoutCount = 1,
		.pSetLayouts = &set_layout,
		.pushConstantRangeCount = 1,
		.pPushConstantRanges = &range,
	};
	must(CALL(vkCreatePipelineLayout)(device, &layout_info, NULL, &layout), "layout");
	VkDescriptorPoolCreateInfo pool_info = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
		.maxSets = 1,
		.poolSizeCount = count,
		.pPoolSizes = sizes,
	};
	must(CALL(vkCreateDescriptorPool)(device, &pool_info, NULL, &pool), "descriptors");
	VkDescriptorSetAllocateInfo allocation = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
		.descriptorPool = pool,
		.descriptorSetCount = 1,
		.pSetLayouts = &set_layout,
	};
	must(CALL(vkAllocateDescriptorSets)(device, &allocation, &set), "descriptors");
	for (uint32_t i = 0; i < count; i++) {
		const struct resource *each = &job.resources[i];
		VkDescriptorBufferInfo buffer = {each->buffer, 0, VK_WHOLE_SIZE};
		VkDescriptorImageInfo image = {each->sampler, each->view, VK_IMAGE_LAYOUT_GENERAL};
		VkWriteDescriptorSet write = {
			.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
			.dstSet = set,
			.dstBinding = each->binding,
			.descriptorCount = 1,
			.descriptorType = each->type,
			.pBufferInfo = each->buffer ? &buffer : NULL,
			.pImageInfo = each->buffer ? NULL : &image,
		};
		CALL(vkUpdateDescriptorSets)(device, 1, &write, 0, NULL);
	}
	return set;
}

static VkPipeline make_pipeline(const char *path)
{
	VkShaderModuleCreateInfo shader = {
		.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
		.codeSize = read_file(path),
		.pCode = (const uint32_t *)(const void *)content,
	};
	VkShaderModule module;
	VkSpecializationInfo special = {
		job.constant_count, job.entries, sizeof(job.constants), job.constants};
	VkPipeline pipeline;

	must(CALL(vkCreateShaderModule)(device, &shader, NULL, &module), "shader");
	VkComputePipelineCreateInfo wanted = {
		.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
		.stage = {
			.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
			.stage = VK_SHADER_STAGE_COMPUTE_BIT,
			.module = module,
			.pName = "main",
			.pSpecializationInfo = &special,
		},
		.layout = layout,
	};
	must(CALL(vkCreateComputePipelines)(device, VK_NULL_HANDLE, 1, &wanted, NULL, &pipeline),
	     "pipeline");
	return pipeline;
}

static void add_step(const struct step *wanted, const char *shader)
{
	if (job.step_count == MOST)
		fail("job", "too many steps");
	job.steps[job.step_count] = *wanted;
	job.steps[job.step_count++].pipeline = make_pipeline(shader);
}

static VkBuffer buffer_at(uint32_t binding)
{
	for (uint32_t i = 0; i < job.resource_count; i++)
		if (job.resources[i].binding == binding && job.resources[i].buffer)
			return job.resources[i].buffer;
	fail("job", "no such buffer");
	return VK_NULL_HANDLE;
}

/* Carry out a line that names a resource or a setting; false: it is a step. */
static bool add_resource(const char *line)
{
	char file[NAME];
	uint32_t a, b, format, width, height, filter, address;

	if (sscanf(line, "buffer %u %127s", &a, file) == 2)
		make_buffer(a, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, file);
	else if (sscanf(line, "uniform %u %127s", &a, file) == 2)
		make_buffer(a, VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER, file);
	else if (sscanf(line, "image %u %u %u %u %127s", &a, &format, &width, &height, file) == 5)
		make_linear(a, false, format, width, height, 0, 0, file);
	else if (sscanf(line, "texture %u %u %u %u %u %u %127s", &a, &format, &width, &height,
			&filter, &address, file) == 7)
		make_linear(a, true, format, width, height, filter, address, file);
	else if (sscanf(line, "tiled %u %u %u %u %u", &a, &b, &format, &width, &height) == 5)
		make_tiled(a, b, format, width, height);
	else if (sscanf(line, "push %127s", file) == 1) {
		job.pushed_size = (uint32_t)read_file(file);
		if (job.pushed_size > MOST_PUSHED)
			fail("job", "too many constants");
		memcpy(job.pushed, content, job.pushed_size);
	} else if (sscanf(line, "constant %u %u", &a, &b) == 2 && job.constant_count < MOST) {
		uint32_t at = job.constant_count++;
		job.entries[at] = (VkSpecializationMapEntry){a, at * 4, 4};
		job.constants[at] = b;
	} else {
		return false;
	}
	return true;
}

static void add_steps(char lines[][4 * NAME], size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct step made = {0};
		char shader[NAME];
		uint32_t binding, offset;

		if (sscanf(lines[i], "run %127s %u %u %u", shader, &made.groups[0],
			   &made.groups[1], &made.groups[2]) == 4) {
			add_step(&made, shader);
		} else if (sscanf(lines[i], "indirect %127s %u %u", shader, &binding, &offset) == 3) {
			made.counts = buffer_at(binding);
			made.offset = offset;
			add_step(&made, shader);
		} else {
			fail("job", lines[i]);
		}
	}
}

/* What was written before is there for what comes after; images get into their layout at first. */
static void barrier(VkCommandBuffer commands, bool first)
{
	const VkAccessFlags all = VK_ACCESS_MEMORY_READ_BIT | VK_ACCESS_MEMORY_WRITE_BIT;
	VkMemoryBarrier memory = {
		.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
		.srcAccessMask = all | VK_ACCESS_HOST_WRITE_BIT,
		.dstAccessMask = all | VK_ACCESS_HOST_READ_BIT,
	};
	VkImageMemoryBarrier images[MOST];
	uint32_t count = 0;

	for (uint32_t i = 0; first && i < job.resource_count; i++)
		if (job.resources[i].image)
			images[count++] = (VkImageMemoryBarrier){
				.sType = VK_STRUCTURE_TYPE_IMAGE_MEMORY_BARRIER,
				.srcAccessMask = VK_ACCESS_HOST_WRITE_BIT,
				.dstAccessMask = all,
				.oldLayout = job.resources[i].initial,
				.newLayout = VK_IMAGE_LAYOUT_GENERAL,
				.srcQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
				.dstQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
				.image = job.resources[i].image,
				.subresourceRange = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1},
			};
	CALL(vkCmdPipelineBarrier)(commands, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT,
				   VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, 0, 1, &memory, 0, NULL,
				   count, images);
}

static void run(VkDescriptorSet set)
{
	VkQueue queue;
	VkCommandPool pool;
	VkCommandBuffer commands;
	VkCommandPoolCreateInfo pool_info = {
		.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
	};

	CALL(vkGetDeviceQueue)(device, 0, 0, &queue);
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
	CALL(vkCmdBindDescriptorSets)(commands, VK_PIPELINE_BIND_POINT_COMPUTE, layout, 0, 1, &set,
				      0, NULL);
	if (job.pushed_size)
		CALL(vkCmdPushConstants)(commands, layout, VK_SHADER_STAGE_COMPUTE_BIT, 0,
					 job.pushed_size, job.pushed);
	for (uint32_t i = 0; i < job.step_count; i++) {
		const struct step *each = &job.steps[i];
		barrier(commands, i == 0);
		CALL(vkCmdBindPipeline)(commands, VK_PIPELINE_BIND_POINT_COMPUTE, each->pipeline);
		if (each->counts)
			CALL(vkCmdDispatchIndirect)(commands, each->counts, each->offset);
		else
			CALL(vkCmdDispatch)(commands, each->groups[0], each->groups[1],
					    each->groups[2]);
	}
	barrier(commands, false);
	must(CALL(vkEndCommandBuffer)(commands), "commands");
	VkSubmitInfo submission = {
		.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
		.commandBufferCount = 1,
		.pCommandBuffers = &commands,
	};
	must(CALL(vkQueueSubmit)(queue, 1, &submission, VK_NULL_HANDLE), "submission");
	must(CALL(vkQueueWaitIdle)(queue), "submission");
}

static void keep(void)
{
	for (uint32_t i = 0; i < job.resource_count; i++) {
		const struct resource *each = &job.resources[i];
		if (!each->mapped)
			continue;
		FILE *file = fopen(each->file, "wb");
		if (!file)
			fail(each->file, "cannot be written");
		if (each->buffer)
			fwrite(each->mapped, 1, each->size, file);
		for (uint32_t y = 0; y < each->rows; y++)
			fwrite(each->mapped + y * each->pitch, 1, each->row, file);
		fclose(file);
	}
}

int main(int count, char **words)
{
	static char lines[MOST][4 * NAME];
	void *library = dlopen("libvulkan.so.1", RTLD_NOW);
	char line[4 * NAME];
	size_t steps = 0;

	if (!library || count < 2)
		fail("library", library ? "no job named" : dlerror());
	get = (PFN_vkGetInstanceProcAddr)dlsym(library, "vkGetInstanceProcAddr");
	VkApplicationInfo application = {
		.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
		.apiVersion = VK_API_VERSION_1_2,
	};
	VkInstanceCreateInfo instance_info = {
		.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
		.pApplicationInfo = &application,
	};
	must(CALL(vkCreateInstance)(&instance_info, NULL, &instance), "instance");
	find_gpu();
	make_device();
	if (strcmp(words[1], "features") == 0)
		return 0;
	FILE *file = fopen(words[1], "r");
	if (!file)
		fail(words[1], "cannot be read");
	while (fgets(line, sizeof(line), file))
		if (!add_resource(line) && steps < MOST)
			memcpy(lines[steps++], line, sizeof(line));
	fclose(file);
	VkDescriptorSet set = make_set();
	add_steps(lines, steps);
	run(set);
	keep();
	printf("done\n");
	return 0;
}
