// The cloud's half of a request: decode, run the tail, encode the outputs.
#pragma once

#include <cleave/core/clock.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/device/arbiter.hpp>
#include <cleave/exec/infer_protocol.hpp>
#include <cleave/exec/model_store.hpp>
#include <cleave/transport/service.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace cleave::inline v0::exec {

/// Thread-safe. Runs on the calling thread, so a server calls it from its workers.
class CLEAVE_EXPORT InferService {
 public:
  /// What sinks may have decoded before their workers have them, in bytes of tensors.
  static constexpr std::uint64_t most_ahead = std::uint64_t{1} << 30;

  /// `arbiter` may be null for a host without knobs. Both must outlive the service. `ahead` bounds
  /// what all sinks together decode while bytes arrive: the body of a request for whose tensors
  /// there is no room is kept as it is, and decoded when its worker has it. So memory is at most
  ///
  ///     bodies (transport::ServerOptions::max_memory) + ahead + workers * DecodeLimits::max_bytes
  InferService(const ModelStore& models, device::Arbiter* arbiter,
               std::shared_ptr<const core::Clock> clock = nullptr,
               std::uint64_t ahead = most_ahead);
  ~InferService();

  /// Method "tail". Errc::corrupt (malformed), not_found or mismatch (model, cut, codec),
  /// invalid_argument (values or levels that do not fit).
  [[nodiscard]] core::Result<std::vector<std::byte>> tail(std::span<const std::byte> message) const;
  /// The same of one message that comes in parts of any sizes: decodes what is there, and believes
  /// nothing of it, errors included, before the check at its end fits. The service must outlive it.
  [[nodiscard]] std::unique_ptr<transport::BodySink> tail_sink() const;
  /// Method "models".
  [[nodiscard]] std::vector<std::byte> models() const;

 private:
  class Parts;
  class Tail;
  class Room;
  template <class Decode>
  core::Result<std::vector<std::byte>> answer(const TailRequest& request, std::uint64_t check,
                                              core::Seconds start, const Decode& decode) const;

  const ModelStore& models_;
  device::Arbiter* arbiter_;
  std::shared_ptr<const core::Clock> clock_;
  std::unique_ptr<Room> room_;
};

}  // namespace cleave::inline v0::exec
