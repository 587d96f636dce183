// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// A driver library for tests of device choice where there is no GPU: also a stand-in for libnvidia-ml.so.1
// for the real programs (LD_LIBRARY_PATH). FAKE_NVML says what is in the host:
//   ""          three cards, "Card 0" to "Card 2", and a slice of card 1 that is found by its UUID only
//   "only-N"    of these, card N alone, as where a control group hides the others; its number is 0 then
//   "unlike"    a T4 and, as number 1, an A100: CUDA's own order has the faster one first
//   "cut"       card 0 cut into two slices, card 1 whole
//   "none"      a driver without cards
// FAKE_NVML_PROCESSES: who computes on every card, and with how many MiB: "own 100, 7 30, 8 hidden", by pid
// ("own": this process; "hidden": not told); "refused": the question is.
// FAKE_NVML_INIT: what nvmlInit returns, a number. FAKE_NVML_REFUSED: what opening a card
// returns, 4: no permission.
// FAKE_NVML_DRIVER: the driver's version. FAKE_NVML_CUDA: its newest CUDA, 12040; "missing": libcuda is not
// found. FAKE_NVML_CAPABILITIES: of the cards in their order, "7.0 8.9"; the last one counts for all that
// follow. FAKE_NVML_NAMED=1 puts the host's name into the UUIDs, where ranks are on several hosts of one
// machine.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>
#include <vector>

namespace {

constexpr unsigned long long gib = 1ULL << 30;
constexpr int not_found = 6;

struct Device {
  std::string uuid, name;
  unsigned bus = 0;
  unsigned long long memory = 0;
  int card = -1;  // of a slice: its card's place in the list
  bool is_cut = false, is_listed = true;
};

std::vector<Device> make_devices() {
  const char* variable = std::getenv("FAKE_NVML");
  const std::string host = variable == nullptr ? "" : variable;
  if (host == "none") {
    return {};
  }
  if (host == "unlike") {
    return {{"GPU-aaaa1111-card", "Tesla T4", 0x65, 15 * gib},
            {"GPU-aaaa2222-card", "NVIDIA A100-SXM4-80GB", 0x17, 80 * gib}};
  }
  if (host == "cut") {
    return {{"GPU-0000-card", "Card 0", 0x60, 40 * gib, -1, true},
            {"GPU-1000-card", "Card 1", 0x61, 40 * gib},
            {"MIG-5555-first", "Card 0 MIG 1g.5gb", 0x60, 5 * gib, 0, false, false},
            {"MIG-5555-second", "Card 0 MIG 2g.10gb", 0x60, 10 * gib, 0, false, false}};
  }
  std::vector<Device> cards;
  for (unsigned i = 0; i < 3; ++i) {
    cards.push_back(
        {"GPU-" + std::to_string(i) + "000-card", "Card " + std::to_string(i), 0x60 + i, (i + 1) * gib});
  }
  if (host.rfind("only-", 0) == 0) {
    return {cards[static_cast<size_t>(std::atoi(host.c_str() + 5))]};
  }
  cards.push_back({"MIG-aaaa-bbbb", "Card 1 MIG 1g.1gb", 0x61, gib, 1, false, false});
  return cards;
}

std::vector<Device> devices;

Device& of(void* handle) {
  return *static_cast<Device*>(handle);
}

std::string variable(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : value;
}

void copy(const std::string& text, char* to, unsigned length) {
  std::snprintf(to, length, "%s", text.c_str());
}

}  // namespace

struct Memory {
  unsigned long long total, free, used;
};
struct Process {
  unsigned pid;
  unsigned long long used;
  unsigned slice, compute_slice;
};
struct Pci {
  char legacy[16];
  unsigned domain, bus, device, id, subsystem;
  char bus_id[32];
};

extern "C" {
int nvmlInit_v2() {
  devices = make_devices();
  return std::stoi(variable("FAKE_NVML_INIT", "0"));
}
int nvmlShutdown() {
  return 0;
}
const char* nvmlErrorString(int result) {
  return result == 9    ? "Driver Not Loaded"
         : result == 18 ? "Driver/library version mismatch"
         : result == 15 ? "GPU is lost"
                        : "an error";
}
int nvmlSystemGetNVMLVersion(char* text, unsigned length) {
  copy(variable("FAKE_NVML_DRIVER", "580.65.06"), text, length);
  return 0;
}
int nvmlDeviceGetCount_v2(unsigned* count) {
  *count = 0;
  for (const Device& device : devices) {
    *count += device.is_listed ? 1 : 0;
  }
  return 0;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** device) {
  if (const char* result = std::getenv("FAKE_NVML_REFUSED"); result != nullptr) {
    return std::atoi(result);
  }
  *device = &devices[index];
  return 0;
}
int nvmlDeviceGetHandleByUUID(const char* uuid, void** found) {
  for (Device& device : devices) {
    if (device.uuid == uuid) {
      *found = &device;
      return 0;
    }
  }
  return not_found;
}
int nvmlDeviceGetUUID(void* device, char* text, unsigned length) {
  char host[64] = "";
  if (std::getenv("FAKE_NVML_NAMED") != nullptr) {
    gethostname(host, sizeof host - 1);
  }
  copy(of(device).uuid + host, text, length);
  return 0;
}
int nvmlDeviceGetPciInfo_v3(void* device, Pci* pci) {
  std::memset(pci, 0, sizeof(*pci));
  std::snprintf(pci->bus_id, sizeof(pci->bus_id), "00000000:%02X:00.0", of(device).bus);
  return 0;
}
int nvmlDeviceGetName(void* device, char* text, unsigned length) {
  copy(of(device).name, text, length);
  return 0;
}
int nvmlDeviceGetMemoryInfo(void* device, Memory* memory) {
  *memory = {of(device).memory, of(device).memory / 2, of(device).memory / 2};
  return 0;
}
int nvmlDeviceGetComputeRunningProcesses_v3(void*, unsigned* count, Process* processes) {
  const char* variable = std::getenv("FAKE_NVML_PROCESSES");
  std::istringstream all(variable == nullptr ? "" : variable);
  const unsigned room = *count;
  *count = 0;
  std::string pid, mib;
  while (all >> pid >> mib) {
    if (*count < room) {
      processes[*count].pid = pid == "own" ? static_cast<unsigned>(getpid()) : std::stoul(pid);
      processes[*count].used = mib.front() == 'h' ? ~0ULL : std::stoull(mib) << 20;
    }
    ++*count;
  }
  constexpr int refused = 3, too_small = 7;
  return pid == "refused" ? refused : *count > room ? too_small : 0;
}
int nvmlSystemGetDriverVersion(char* text, unsigned length) {
  copy(variable("FAKE_NVML_DRIVER", "580.65.06"), text, length);
  return 0;
}
int nvmlSystemGetCudaDriverVersion_v2(int* version) {
  const std::string newest = variable("FAKE_NVML_CUDA", "13000");
  if (newest == "missing") {
    constexpr int library_not_found = 12;
    return library_not_found;
  }
  *version = std::stoi(newest);
  return 0;
}
int nvmlDeviceGetCudaComputeCapability(void* device, int* major, int* minor) {
  std::istringstream all(variable("FAKE_NVML_CAPABILITIES", "8.0"));
  char point = 0;
  const auto place = &of(device) - devices.data();
  for (long i = 0; i <= place && all >> *major >> point >> *minor; ++i) {
  }
  return 0;
}
int nvmlDeviceGetMigMode(void* device, unsigned* current, unsigned* pending) {
  *current = *pending = of(device).is_cut ? 1 : 0;
  return 0;
}
int nvmlDeviceGetMaxMigDeviceCount(void*, unsigned* count) {
  *count = 7;
  return 0;
}
int nvmlDeviceGetMigDeviceHandleByIndex(void* card, unsigned index, void** slice) {
  unsigned place = 0;
  for (Device& device : devices) {
    if (device.card >= 0 && &devices[static_cast<size_t>(device.card)] == card) {
      // Places between slices may be empty.
      if (2 * place == index) {
        *slice = &device;
        return 0;
      }
      ++place;
    }
  }
  return not_found;
}
int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(void* slice, void** card) {
  if (of(slice).card < 0) {
    return not_found;
  }
  *card = &devices[static_cast<size_t>(of(slice).card)];
  return 0;
}
int nvmlDeviceGetIndex(void* device, unsigned* index) {
  *index = static_cast<unsigned>(&of(device) - devices.data());
  return 0;
}
}
