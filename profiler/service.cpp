#include "profiler/host_wire.hpp"

#include <cleave/profiler/service.hpp>
#include <cleave/transport/codec.hpp>

#include <algorithm>

namespace cleave::inline v0::profiler {

core::Result<core::Provenance> machine_of(exec::Remote& cloud) {
  const auto reply =
      cloud.call({profile_service, machine_method, {}, 1, core::Seconds(0), core::Seconds(10)});
  if (!reply && reply.error().code == core::Errc::not_found)
    return core::Provenance();
  if (!reply)
    return core::fail(reply);
  return parse_provenance(reply->body);
}

core::Result<table::Conditions> conditions_of(exec::Remote& cloud) {
  const auto reply =
      cloud.call({profile_service, conditions_method, {}, 1, core::Seconds(0), core::Seconds(10)});
  if (!reply && reply.error().code == core::Errc::not_found)
    return table::Conditions();
  if (!reply)
    return core::fail(reply);
  return parse_conditions(reply->body);
}

MeasureService::MeasureService(const exec::ModelStore& models, device::Arbiter& arbiter,
                               HostOptions host)
    : models_(models), arbiter_(arbiter), host_(std::move(host)) {}

core::Result<std::vector<std::byte>> MeasureService::measure(std::span<const std::byte> message) {
  const auto request = parse_measure_request(message);
  if (!request)
    return core::fail(request);
  const auto model = models_.find(request->model);
  if (!model)
    return core::fail(model);
  const auto inputs = transport::decode_values(request->inputs);
  if (!inputs)
    return core::fail(inputs);

  HostOptions options = host_;
  options.codecs = request->codecs;
  options.min_passes = static_cast<int>(std::clamp(request->passes, 1u, max_passes));
  options.min_time = std::min(request->time, max_time);
  options.max_time = max_time;
  const std::lock_guard lock(mutex_);
  const auto host = measure_host(**model, *inputs, arbiter_, options);
  if (!host)
    return core::fail(host);
  const std::lock_guard last_lock(last_mutex_);
  last_ = host->conditions;
  return write_host_profile(*host);
}

std::vector<std::byte> MeasureService::conditions() const {
  const std::lock_guard lock(last_mutex_);
  return write_conditions(last_);
}

std::vector<std::byte> MeasureService::machine() const {
  return write_provenance(host_.made_on);
}

}  // namespace cleave::inline v0::profiler
