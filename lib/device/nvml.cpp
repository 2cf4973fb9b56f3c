#include <cleave/device/nvml.hpp>

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <utility>

namespace cleave::inline v0::device {
namespace {

// The part of NVML's binary interface that is used (NVML API Reference Guide).
using Return = int;  // nvmlReturn_t
using Device = struct OpaqueDevice*;
constexpr Return success = 0;
constexpr int graphics = 0;  // nvmlClockType_t: NVML_CLOCK_GRAPHICS

core::Errc condition_of(Return code) {
  switch (code) {
    case 2:  // INVALID_ARGUMENT
      return core::Errc::invalid_argument;
    case 3:  // NOT_SUPPORTED
      return core::Errc::unsupported;
    case 4:  // NO_PERMISSION
      return core::Errc::permission_denied;
    case 6:  // NOT_FOUND
      return core::Errc::not_found;
    case 1:   // UNINITIALIZED
    case 9:   // DRIVER_NOT_LOADED
    case 15:  // GPU_IS_LOST
    case 16:  // RESET_REQUIRED
      return core::Errc::unavailable;
    default:
      return core::Errc::io;
  }
}

}  // namespace

std::string_view to_string(GpuSetting::Kind kind) {
  return kind == GpuSetting::Kind::power_limit ? "power_limit" : "locked_clocks";
}

std::optional<GpuSetting::Kind> gpu_setting_of(std::string_view name) {
  for (const auto kind : {GpuSetting::Kind::power_limit, GpuSetting::Kind::locked_clocks})
    if (name == to_string(kind))
      return kind;
  return std::nullopt;
}

struct Nvml::Functions {
  std::string library;
  void* handle = nullptr;
  bool started = false;

  Return (*init)() = nullptr;
  Return (*shutdown)() = nullptr;
  const char* (*error_string)(Return) = nullptr;
  Return (*count)(unsigned*) = nullptr;
  Return (*by_index)(unsigned, Device*) = nullptr;
  Return (*by_uuid)(const char*, Device*) = nullptr;
  Return (*uuid)(Device, char*, unsigned) = nullptr;
  Return (*name)(Device, char*, unsigned) = nullptr;
  Return (*energy)(Device, unsigned long long*) = nullptr;
  Return (*power)(Device, unsigned*) = nullptr;
  Return (*limit)(Device, unsigned*) = nullptr;
  Return (*limits)(Device, unsigned*, unsigned*) = nullptr;
  Return (*set_limit)(Device, unsigned) = nullptr;
  Return (*memory_clocks)(Device, unsigned*, unsigned*) = nullptr;
  Return (*graphics_clocks)(Device, unsigned, unsigned*, unsigned*) = nullptr;
  Return (*clock)(Device, int, unsigned*) = nullptr;
  Return (*lock)(Device, unsigned, unsigned) = nullptr;
  Return (*unlock)(Device) = nullptr;

  ~Functions() {
    if (started)
      shutdown();
    if (handle != nullptr)
      ::dlclose(handle);
  }

  template <class Function>
  bool find(Function& function, const char* symbol) {
    function = reinterpret_cast<Function>(::dlsym(handle, symbol));
    return function != nullptr;
  }

  // The first that is missing; null if all are there.
  const char* find_all() {
    const char* missing = nullptr;
    const auto need = [&](auto& function, const char* symbol) {
      if (!find(function, symbol) && missing == nullptr)
        missing = symbol;
    };
    need(init, "nvmlInit_v2");
    need(shutdown, "nvmlShutdown");
    need(error_string, "nvmlErrorString");
    need(count, "nvmlDeviceGetCount_v2");
    need(by_index, "nvmlDeviceGetHandleByIndex_v2");
    need(by_uuid, "nvmlDeviceGetHandleByUUID");
    need(uuid, "nvmlDeviceGetUUID");
    need(name, "nvmlDeviceGetName");
    need(energy, "nvmlDeviceGetTotalEnergyConsumption");
    need(power, "nvmlDeviceGetPowerUsage");
    need(limit, "nvmlDeviceGetPowerManagementLimit");
    need(limits, "nvmlDeviceGetPowerManagementLimitConstraints");
    need(set_limit, "nvmlDeviceSetPowerManagementLimit");
    need(memory_clocks, "nvmlDeviceGetSupportedMemoryClocks");
    need(graphics_clocks, "nvmlDeviceGetSupportedGraphicsClocks");
    need(clock, "nvmlDeviceGetClockInfo");
    need(lock, "nvmlDeviceSetGpuLockedClocks");
    need(unlock, "nvmlDeviceResetGpuLockedClocks");
    return missing;
  }

  [[nodiscard]] core::Result<void> check(Return code, const std::string& doing,
                                         const std::string& where) const {
    if (code == success)
      return {};
    const core::Errc condition = condition_of(code);
    return core::fail(condition, doing + ": " + error_string(code), where,
                      condition == core::Errc::permission_denied
                          ? "only root may change a GPU's clocks and limits"
                          : "");
  }

  // Calls with the GPU's handle, which a reset of the driver would make stale.
  template <class Call>
  core::Result<void> with(const std::string& gpu, const std::string& doing, Call&& call) const {
    Device device = nullptr;
    if (auto found = check(by_uuid(gpu.c_str(), &device), "no such GPU", gpu); !found)
      return found;
    return check(call(device), doing, gpu);
  }
};

Nvml::Nvml(std::unique_ptr<Functions> functions) : functions_(std::move(functions)) {}
Nvml::~Nvml() = default;

core::Result<std::shared_ptr<Nvml>> Nvml::load(const std::string& library) {
  auto functions = std::make_unique<Functions>();
  functions->library = library;
  functions->handle = ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (functions->handle == nullptr) {
    const char* why = ::dlerror();
    return core::fail(core::Errc::not_found,
                      std::string("no NVML: ") + (why != nullptr ? why : "it cannot be loaded"),
                      library, "it comes with NVIDIA's driver; elsewhere there is nothing to do");
  }
  if (const char* missing = functions->find_all())
    return core::fail(core::Errc::unsupported, std::string("NVML has no function ") + missing,
                      library, "update NVIDIA's driver");
  const Return code = functions->init();
  if (code != success)
    return core::fail(core::Errc::unavailable,
                      std::string("NVML does not start: ") + functions->error_string(code), library,
                      "is NVIDIA's driver loaded?");
  functions->started = true;
  return std::shared_ptr<Nvml>(new Nvml(std::move(functions)));
}

const std::string& Nvml::library() const {
  return functions_->library;
}

core::Result<std::vector<Gpu>> Nvml::gpus() const {
  unsigned count = 0;
  if (auto done = functions_->check(functions_->count(&count), "cannot count the GPUs", library());
      !done)
    return core::fail(done);
  std::vector<Gpu> gpus;
  for (unsigned i = 0; i < count; ++i) {
    const std::string where = "GPU " + std::to_string(i);
    Device device = nullptr;
    std::array<char, 96> uuid{}, name{};  // NVML_DEVICE_UUID_V2_BUFFER_SIZE, ..._NAME_V2_...
    Return code = functions_->by_index(i, &device);
    if (code == success)
      code = functions_->uuid(device, uuid.data(), unsigned(uuid.size()));
    if (code == success)
      code = functions_->name(device, name.data(), unsigned(name.size()));
    if (auto done = functions_->check(code, "cannot look at it", where); !done)
      return core::fail(done);
    gpus.push_back({i, uuid.data(), name.data()});
  }
  return gpus;
}

core::Result<core::Joules> Nvml::total_energy(const std::string& gpu) const {
  unsigned long long millijoules = 0;
  if (auto done = functions_->with(gpu, "cannot read its energy",
                                   [&](Device d) { return functions_->energy(d, &millijoules); });
      !done)
    return core::fail(done);
  return core::Joules(static_cast<double>(millijoules) * 1e-3);
}

core::Result<core::Watts> Nvml::power(const std::string& gpu) const {
  unsigned milliwatts = 0;
  if (auto done = functions_->with(gpu, "cannot read its power",
                                   [&](Device d) { return functions_->power(d, &milliwatts); });
      !done)
    return core::fail(done);
  return core::Watts(milliwatts * 1e-3);
}

core::Result<Nvml::PowerLimits> Nvml::power_limits(const std::string& gpu) const {
  PowerLimits limits;
  if (auto done =
          functions_->with(gpu, "cannot read its power limit",
                           [&](Device d) {
                             const Return code = functions_->limits(d, &limits.least, &limits.most);
                             return code == success ? functions_->limit(d, &limits.now) : code;
                           });
      !done)
    return core::fail(done);
  return limits;
}

core::Result<void> Nvml::set_power_limit(const std::string& gpu, unsigned milliwatts) const {
  return functions_->with(gpu, "cannot set its power limit",
                          [&](Device d) { return functions_->set_limit(d, milliwatts); });
}

core::Result<std::vector<unsigned>> Nvml::clocks(const std::string& gpu) const {
  // More than any GPU has; NVML says how many there are.
  std::vector<unsigned> memories(256), clocks(4096);
  auto many = static_cast<unsigned>(memories.size());
  const auto look = [&](Device d) {
    const Return code = functions_->memory_clocks(d, &many, memories.data());
    if (code != success || many == 0)
      return code;
    const unsigned highest = *std::max_element(memories.begin(), memories.begin() + many);
    many = static_cast<unsigned>(clocks.size());
    return functions_->graphics_clocks(d, highest, &many, clocks.data());
  };
  if (auto done = functions_->with(gpu, "cannot list its clocks", look); !done)
    return core::fail(done);
  clocks.resize(many);
  std::sort(clocks.begin(), clocks.end());
  clocks.erase(std::unique(clocks.begin(), clocks.end()), clocks.end());
  return clocks;
}

core::Result<unsigned> Nvml::clock(const std::string& gpu) const {
  unsigned mhz = 0;
  if (auto done = functions_->with(gpu, "cannot read its clock",
                                   [&](Device d) { return functions_->clock(d, graphics, &mhz); });
      !done)
    return core::fail(done);
  return mhz;
}

core::Result<void> Nvml::lock_clocks(const std::string& gpu, unsigned mhz) const {
  return functions_->with(gpu, "cannot lock its clock", [&](Device d) {
    return mhz == 0 ? functions_->unlock(d) : functions_->lock(d, mhz, mhz);
  });
}

core::Result<void> put_back(const GpuSetting& setting) {
  const auto nvml = Nvml::load(setting.library);
  if (!nvml)
    return core::fail(nvml);
  const auto done = setting.kind == GpuSetting::Kind::power_limit
                        ? (*nvml)->set_power_limit(setting.gpu, setting.value)
                        : (*nvml)->lock_clocks(setting.gpu, setting.value);
  if (!done)
    return done.error().code == core::Errc::not_found ? core::Result<void>() : done;
  if (setting.kind == GpuSetting::Kind::locked_clocks)
    return {};
  const auto limits = (*nvml)->power_limits(setting.gpu);
  if (!limits)
    return core::fail(limits);
  if (limits->now != setting.value)
    return core::fail(core::Errc::refused,
                      "the GPU kept " + std::to_string(limits->now) + " mW when " +
                          std::to_string(setting.value) + " mW was put back",
                      setting.gpu, "nvidia-smi --power-limit sets it by hand");
  return {};
}

core::Result<std::unique_ptr<Meter>> open_nvml_meter(std::shared_ptr<Nvml> nvml, const Gpu& gpu,
                                                     SamplingOptions options,
                                                     core::Boundary boundary) {
  const std::string name = "nvml:" + std::to_string(gpu.index);
  const std::string source = "NVML of " + gpu.name + " " + gpu.uuid;
  constexpr core::Seconds refresh = core::milliseconds(100);
  const auto total = nvml->total_energy(gpu.uuid);
  if (total) {
    CounterSource counter;
    counter.name = name;
    counter.source = source + ", energy";
    counter.read = [nvml, id = gpu.uuid]() -> core::Result<double> {
      const auto energy = nvml->total_energy(id);
      if (!energy)
        return core::fail(energy);
      return energy->count();
    };
    counter.unit = core::Joules(1);
    counter.resolution = core::Joules(1e-3);
    counter.update = refresh;
    return CounterMeter::open(std::move(counter), boundary, options.clock);
  }
  if (total.error().code != core::Errc::unsupported)
    return core::fail(total);
  PowerSource power;
  power.name = name;
  power.source = source + ", power";
  power.read = [nvml, id = gpu.uuid] { return nvml->power(id); };
  // A GPU without the counter is older than Volta, and its power no mean.
  power.averaging = refresh;
  return SamplingMeter::open(std::move(power), std::move(options), boundary);
}

}  // namespace cleave::inline v0::device
