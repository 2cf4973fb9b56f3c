// A stand-in for libnvidia-ml.so.1 with the functions that cleave uses. The GPUs are a text file,
// $CLEAVE_FAKE_NVML, of "name value" lines, so that what one process sets another sees, as with the
// driver: gpus, energy (mJ), power, limit, least, most (mW), lock (MHz, 0: none), idle (MHz), and
// faults: no_driver, no_energy, denied, ignored, lost (1 each).
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <string>

namespace {

constexpr int ok = 0, invalid = 2, unsupported = 3, denied = 4, not_found = 6, no_driver = 9,
              lost = 15;
char the_gpu;

std::map<std::string, unsigned long long> load() {
  std::map<std::string, unsigned long long> state;
  const char* path = std::getenv("CLEAVE_FAKE_NVML");
  std::ifstream file(path == nullptr ? "" : path);
  std::string name;
  unsigned long long value = 0;
  while (file >> name >> value) state[name] = value;
  return state;
}

int set(const std::string& name, unsigned long long value) {
  auto state = load();
  if (state["lost"] != 0)
    return lost;
  if (state["denied"] != 0)
    return denied;
  if (state["ignored"] != 0)
    return ok;
  state[name] = value;
  std::ofstream file(std::getenv("CLEAVE_FAKE_NVML"));
  for (const auto& [key, number] : state) file << key << ' ' << number << '\n';
  return ok;
}

int get(const std::string& name, unsigned* value) {
  auto state = load();
  if (state["lost"] != 0)
    return lost;
  *value = static_cast<unsigned>(state[name]);
  return ok;
}

int copy(const char* text, char* into, unsigned length) {
  if (std::strlen(text) >= length)
    return invalid;
  std::strcpy(into, text);
  return ok;
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {
int nvmlInit_v2() {
  return load()["no_driver"] != 0 ? no_driver : ok;
}
int nvmlShutdown() {
  return ok;
}
const char* nvmlErrorString(int code) {
  return code == denied ? "Insufficient Permissions" : code == lost ? "GPU is lost" : "an error";
}
int nvmlDeviceGetCount_v2(unsigned* count) {
  return get("gpus", count);
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** gpu) {
  *gpu = &the_gpu;
  return index == 0 ? ok : not_found;
}
int nvmlDeviceGetHandleByUUID(const char* uuid, void** gpu) {
  *gpu = &the_gpu;
  return std::string(uuid) == "GPU-fake" && load()["gpus"] > 0 ? ok : not_found;
}
int nvmlDeviceGetUUID(void*, char* into, unsigned length) {
  return copy("GPU-fake", into, length);
}
int nvmlDeviceGetName(void*, char* into, unsigned length) {
  return copy("NVIDIA Fake", into, length);
}
int nvmlDeviceGetTotalEnergyConsumption(void*, unsigned long long* millijoules) {
  auto state = load();
  *millijoules = state["energy"];
  return state["lost"] != 0 ? lost : state["no_energy"] != 0 ? unsupported : ok;
}
int nvmlDeviceGetPowerUsage(void*, unsigned* milliwatts) {
  return get("power", milliwatts);
}
int nvmlDeviceGetPowerManagementLimit(void*, unsigned* milliwatts) {
  return get("limit", milliwatts);
}
int nvmlDeviceGetPowerManagementLimitConstraints(void*, unsigned* least, unsigned* most) {
  const int code = get("least", least);
  return code == ok ? get("most", most) : code;
}
int nvmlDeviceSetPowerManagementLimit(void*, unsigned milliwatts) {
  return set("limit", milliwatts);
}
int nvmlDeviceGetSupportedMemoryClocks(void*, unsigned* count, unsigned* mhz) {
  *count = 2;
  mhz[0] = 5001;
  mhz[1] = 405;
  return ok;
}
int nvmlDeviceGetSupportedGraphicsClocks(void*, unsigned memory, unsigned* count, unsigned* mhz) {
  *count = 0;
  if (memory != 5001)
    return not_found;
  for (unsigned clock = 1500; clock >= 300; clock -= 15) mhz[(*count)++] = clock;
  return ok;
}
int nvmlDeviceGetClockInfo(void*, int type, unsigned* mhz) {
  auto state = load();
  *mhz = static_cast<unsigned>(state["lock"] != 0 ? state["lock"] : state["idle"]);
  return type == 0 ? ok : invalid;
}
int nvmlDeviceSetGpuLockedClocks(void*, unsigned least, unsigned most) {
  return least <= most ? set("lock", most) : invalid;
}
int nvmlDeviceResetGpuLockedClocks(void*) {
  return set("lock", 0);
}
}
#pragma GCC visibility pop
