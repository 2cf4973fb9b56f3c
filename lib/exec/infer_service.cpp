#include <cleave/exec/executor.hpp>
#include <cleave/exec/infer_service.hpp>
#include <cleave/transport/codec.hpp>

#include <algorithm>

namespace cleave::inline v0::exec {

InferService::InferService(const ModelStore& models, device::Arbiter* arbiter,
                           std::shared_ptr<const core::Clock> clock)
    : models_(models),
      arbiter_(arbiter),
      clock_(clock ? std::move(clock) : std::make_shared<core::SteadyClock>()) {}

core::Result<std::vector<std::byte>> InferService::tail(std::span<const std::byte> message) const {
  const core::Seconds start = clock_->now();
  const auto sealed = unseal(message);
  if (!sealed)
    return core::fail(sealed);
  const auto request = parse_tail_request(sealed->message);
  if (!request)
    return core::fail(request);
  const auto model = models_.find(request->model);
  if (!model)
    return core::fail(model);
  if (auto codec = transport::find_codec(request->codec); !codec)
    return core::fail(codec);
  if (auto known = introduce(**model, request->cut, request->head); !known)
    return core::fail(known);
  auto values = transport::decode_values(request->values);
  if (!values)
    return core::fail(values);
  const core::Seconds decoded = clock_->now();

  device::Lease lease;
  if (arbiter_ != nullptr && !request->levels.empty()) {
    auto granted = arbiter_->acquire(request->levels);
    if (!granted)
      return core::fail(granted);
    lease = std::move(*granted);
  }
  const auto outputs = (*model)->run(request->cut, (*model)->cuts().back().id, *values);
  if (!outputs)
    return core::fail(outputs);
  const core::Seconds computed = clock_->now();

  // The time to encode is known only afterwards, so the header's place is kept and then filled.
  std::vector<std::byte> reply;
  write_tail_reply_header({}, reply);
  const std::size_t header = reply.size();
  const auto raw = transport::find_codec("raw");
  if (!raw)
    return core::fail(raw);
  if (auto encoded = transport::encode_values(*outputs, **raw, reply); !encoded)
    return core::fail(encoded);
  std::vector<std::byte> filled;
  write_tail_reply_header({decoded - start, computed - decoded, clock_->now() - computed}, filled);
  std::copy_n(filled.begin(), header, reply.begin());
  seal(reply, sealed->check);
  return reply;
}

std::vector<std::byte> InferService::models() const {
  HostDescription description;
  description.models = models_.list();
  if (arbiter_ != nullptr)
    for (const core::Knob& knob : arbiter_->knobs()) {
      HostDescription::KnobDescription described{knob.name, {}};
      for (const core::Level& level : knob.levels) described.levels.push_back(level.label);
      description.knobs.push_back(std::move(described));
    }
  return write_description(description);
}

}  // namespace cleave::inline v0::exec
