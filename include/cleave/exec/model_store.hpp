// The executables a host can run, by fingerprint.
#pragma once

#include <cleave/core/backend.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>

#include <map>
#include <memory>
#include <mutex>
#include <vector>

namespace cleave::inline v0::exec {

/// Thread-safe. Executables are immutable: new weights are a new executable that is put beside or
/// in place of the old one; requests that hold the old one finish on it.
class CLEAVE_EXPORT ModelStore {
 public:
  /// Adds or replaces the executable with this fingerprint.
  void put(std::shared_ptr<const core::Executable> model);
  /// Requests that hold it keep it alive.
  void remove(core::Fingerprint fingerprint);
  /// Errc::mismatch if only other weights of this structure are here, Errc::not_found if there is
  /// no such model at all; the message names what is here.
  [[nodiscard]] core::Result<std::shared_ptr<const core::Executable>> find(
      core::Fingerprint fingerprint) const;
  [[nodiscard]] std::vector<core::Fingerprint> list() const;

 private:
  mutable std::mutex mutex_;
  std::map<core::Fingerprint, std::shared_ptr<const core::Executable>> models_;
};

}  // namespace cleave::inline v0::exec
