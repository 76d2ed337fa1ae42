/* A Vulkan device for computing, and memory of it that the processor sees. */
#ifndef VULKAN_START_H
#define VULKAN_START_H

#include <vulkan/vulkan.h>

#include <stdio.h>
#include <stdlib.h>

enum { MOST_DEVICES = 8 };

static PFN_vkGetInstanceProcAddr get;
static VkInstance instance;
static VkPhysicalDevice gpu;
static VkDevice device;

#define CALL(name) ((PFN_##name)get(instance, #name))

static void fail(const char *what, const char *why)
{
	printf("fail %s: %s\n", what, why);
	exit(1);
}

static void must(VkResult result, const char *what)
{
	char why[32];

	snprintf(why, sizeof(why), "Vulkan error %d", result);
	if (result != VK_SUCCESS)
		fail(what, why);
}

static void find_gpu(void)
{
	VkPhysicalDevice devices[MOST_DEVICES];
	uint32_t count = MOST_DEVICES;

	must(CALL(vkEnumeratePhysicalDevices)(instance, &count, devices), "devices");
	for (uint32_t i = 0; i < count; i++) {
		VkPhysicalDeviceProperties facts;
		CALL(vkGetPhysicalDeviceProperties)(devices[i], &facts);
		if (facts.deviceType == VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU) {
			printf("device %s\n", facts.deviceName);
			gpu = devices[i];
			return;
		}
	}
	fail("device", "no integrated GPU");
}

/* A device with every feature of compute that it has. */
static void make_device(void)
{
	VkPhysicalDeviceVulkan12Features newer = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,
	};
	VkPhysicalDeviceVulkan11Features old = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES,
		.pNext = &newer,
	};
	VkPhysicalDeviceFeatures2 all = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
		.pNext = &old,
	};
	float priority = 1;
	VkDeviceQueueCreateInfo queue = {
		.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
		.queueCount = 1,
		.pQueuePriorities = &priority,
	};
	VkDeviceCreateInfo wanted = {
		.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
		.pNext = &all,
		.queueCreateInfoCount = 1,
		.pQueueCreateInfos = &queue,
	};

	CALL(vkGetPhysicalDeviceFeatures2)(gpu, &all);
	const struct { const char *name; VkBool32 there; } features[] = {
		{"float64", all.features.shaderFloat64},
		{"int64", all.features.shaderInt64},
		{"int16", all.features.shaderInt16 && old.storageBuffer16BitAccess},
		{"int8", newer.shaderInt8 && newer.storageBuffer8BitAccess},
		{"float16", newer.shaderFloat16 && old.storageBuffer16BitAccess},
		{"addresses", newer.bufferDeviceAddress},
	};
	printf("features");
	for (size_t i = 0; i < sizeof(features) / sizeof(*features); i++)
		if (features[i].there)
			printf(" %s", features[i].name);
	printf("\n");
	must(CALL(vkCreateDevice)(gpu, &wanted, NULL, &device), "device");
}

static VkDeviceMemory allocate(VkMemoryRequirements needs)
{
	const VkMemoryPropertyFlags wanted =
		VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
	VkPhysicalDeviceMemoryProperties facts;
	VkDeviceMemory memory;
	uint32_t type = 0;

	CALL(vkGetPhysicalDeviceMemoryProperties)(gpu, &facts);
	while (type < facts.memoryTypeCount
	       && !(needs.memoryTypeBits >> type & 1
		    && (facts.memoryTypes[type].propertyFlags & wanted) == wanted))
		type++;
	VkMemoryAllocateInfo allocation = {
		.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
		.allocationSize = needs.size,
		.memoryTypeIndex = type,
	};
	must(CALL(vkAllocateMemory)(device, &allocation, NULL, &memory), "memory");
	return memory;
}

#endif
