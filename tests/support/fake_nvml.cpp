// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// A driver library with three cards and one slice of a card, for tests of the inventory where there is no
// GPU.
#include <cstdio>
#include <cstring>

namespace {

constexpr unsigned card_count = 3;
int handles[card_count + 1];
constexpr const char* slice_uuid = "MIG-aaaa-bbbb";

int index_of(void* device) {
  return static_cast<int>(static_cast<int*>(device) - handles);
}

}  // namespace

struct Memory {
  unsigned long long total, free, used;
};
struct Pci {
  char legacy[16];
  unsigned domain, bus, device, id, subsystem;
  char bus_id[32];
};

extern "C" {
int nvmlInit_v2() {
  return 0;
}
int nvmlShutdown() {
  return 0;
}
const char* nvmlErrorString(int) {
  return "an error";
}
int nvmlDeviceGetCount_v2(unsigned* count) {
  *count = card_count;
  return 0;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** device) {
  *device = &handles[index];
  return 0;
}
int nvmlDeviceGetHandleByUUID(const char* uuid, void** device) {
  *device = &handles[card_count];
  return std::strcmp(uuid, slice_uuid) == 0 ? 0 : 6;
}
int nvmlDeviceGetUUID(void* device, char* text, unsigned length) {
  const int index = index_of(device);
  if (index == static_cast<int>(card_count)) {
    std::snprintf(text, length, "%s", slice_uuid);
  } else {
    std::snprintf(text, length, "GPU-%d000-card", index);
  }
  return 0;
}
int nvmlDeviceGetPciInfo_v3(void* device, Pci* pci) {
  std::memset(pci, 0, sizeof(*pci));
  std::snprintf(pci->bus_id, sizeof(pci->bus_id), "00000000:%02X:00.0", 0x60 + index_of(device));
  return 0;
}
int nvmlDeviceGetName(void* device, char* text, unsigned length) {
  std::snprintf(text, length, "Card %d", index_of(device));
  return 0;
}
int nvmlDeviceGetMemoryInfo(void* device, Memory* memory) {
  *memory = {static_cast<unsigned long long>(index_of(device) + 1) << 30, 512ULL << 20, 0};
  return 0;
}
int nvmlSystemGetDriverVersion(char* text, unsigned length) {
  std::snprintf(text, length, "580.65.06");
  return 0;
}
int nvmlSystemGetCudaDriverVersion_v2(int* version) {
  *version = 13000;
  return 0;
}
int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(void*, void** device) {
  *device = &handles[1];
  return 0;
}
int nvmlDeviceGetIndex(void* device, unsigned* index) {
  *index = static_cast<unsigned>(index_of(device));
  return 0;
}
}
