// The cloud's half of a request: decode, run the tail, encode the outputs.
#pragma once

#include <cleave/core/clock.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/device/arbiter.hpp>
#include <cleave/exec/infer_protocol.hpp>
#include <cleave/exec/model_store.hpp>

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace cleave::inline v0::exec {

/// Thread-safe. Runs on the calling thread, so a server calls it from its workers.
class CLEAVE_EXPORT InferService {
 public:
  /// `arbiter` may be null for a host without knobs. Both must outlive the service.
  InferService(const ModelStore& models, device::Arbiter* arbiter,
               std::shared_ptr<const core::Clock> clock = nullptr);

  /// Method "tail". Errc::corrupt (malformed), not_found or mismatch (model, cut, codec),
  /// invalid_argument (values or levels that do not fit).
  [[nodiscard]] core::Result<std::vector<std::byte>> tail(std::span<const std::byte> message) const;
  /// Method "models".
  [[nodiscard]] std::vector<std::byte> models() const;

 private:
  const ModelStore& models_;
  device::Arbiter* arbiter_;
  std::shared_ptr<const core::Clock> clock_;
};

}  // namespace cleave::inline v0::exec
