// Several clouds that serve the same models, as one.
#pragma once

#include <cleave/runtime/cloud.hpp>

#include <memory>
#include <vector>

namespace cleave::inline v0::runtime {

/// Sends each request to the reachable endpoint that is expected to finish it first (of equals the
/// first in the order given). A request that failed there may be given to another one, as
/// exec::RemoteChoice says; it is never at two at a time. Thread-safe.
class CLEAVE_EXPORT CloudGroup final : public Cloud {
 public:
  static constexpr std::size_t most_endpoints = 64;

  /// Errc::invalid_argument: none, one that is null, or too many.
  static core::Result<std::shared_ptr<CloudGroup>> make(
      std::vector<std::shared_ptr<Cloud>> endpoints);

  exec::RemoteStart start(exec::RemoteCall call, Done done) override;
  [[nodiscard]] bool available(const exec::RemoteChoice& choice) const override;
  void distrust(unsigned endpoint) override;

  [[nodiscard]] bool reachable() const override;
  /// Of the endpoint that a small request would be given to now; so is queue().
  [[nodiscard]] std::optional<table::LinkState> estimate() const override;
  [[nodiscard]] core::Seconds queue() const override;
  [[nodiscard]] bool serves(core::Fingerprint model) const override;
  [[nodiscard]] core::Result<void> require(core::Fingerprint model) override;
  [[nodiscard]] std::string where() const override;

 private:
  explicit CloudGroup(std::vector<std::shared_ptr<Cloud>> endpoints);
  [[nodiscard]] std::optional<unsigned> choose(const exec::RemoteChoice& choice) const;

  std::vector<std::shared_ptr<Cloud>> endpoints_;
};

}  // namespace cleave::inline v0::runtime
