// The cloud as an edge client sees it: one endpoint (CloudLink) or several (CloudGroup).
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/ids.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/units.hpp>
#include <cleave/exec/remote.hpp>
#include <cleave/table/predictor.hpp>

#include <optional>
#include <string>

namespace cleave::inline v0::runtime {

/// Thread-safe.
class CLEAVE_EXPORT Cloud : public exec::Remote {
 public:
  /// start(), and waits.
  [[nodiscard]] core::Result<exec::RemoteReply> call(exec::RemoteCall call) override;

  /// Whether requests are sent there now. While it is not, a call fails at once, so that a request
  /// loses no time to a cloud that is known to be down.
  [[nodiscard]] virtual bool reachable() const = 0;
  /// Of the link; nothing until enough was seen of it.
  [[nodiscard]] virtual std::optional<table::LinkState> estimate() const = 0;
  /// What a request waited there lately.
  [[nodiscard]] virtual core::Seconds queue() const = 0;
  /// reachable(), and when it was asked last it said that it serves this model.
  [[nodiscard]] virtual bool serves(core::Fingerprint model) const = 0;
  /// Asks the endpoints that are reachable whether they serve the model: Errc::mismatch if there
  /// are such and none does. One that is not reachable is no error. Those that do not serve it are
  /// asked again now and then, and when they come back.
  [[nodiscard]] virtual core::Result<void> require(core::Fingerprint model) = 0;
  /// "host:port", or several of them.
  [[nodiscard]] virtual std::string where() const = 0;
};

/// When a request of `choice` would be finished there, from now: a round trip, the body over the
/// link, the queue, the work. What is not known of the link counts as nothing, so an endpoint that
/// was never used is tried once. The reply's way is left out: it is the same for all endpoints.
CLEAVE_EXPORT core::Seconds expected_finish(const Cloud& cloud, const exec::RemoteChoice& choice);

}  // namespace cleave::inline v0::runtime
