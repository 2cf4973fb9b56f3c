// The models that an operator put into a folder, as a host serves them.
#pragma once

#include <cleave/core/backend.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/exec/model_store.hpp>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace cleave::inline v0::exec {

/// Opens a file as the operator's policy wants it.
using ModelLoader = std::function<core::Result<std::shared_ptr<const core::Executable>>(
    const std::filesystem::path&)>;

/// One file that is served now, is served no more, or could not be opened.
struct FolderChange {
  std::filesystem::path path;
  std::shared_ptr<const core::Executable> added;  ///< null unless it is served now
  std::optional<core::Fingerprint> removed;
  std::optional<core::Error> error;
};

/// Keeps a store as a folder's *.pt and *.onnx files are; hidden ones are left out. Thread-safe;
/// one scan() at a time.
class CLEAVE_EXPORT ModelFolder {
 public:
  ModelFolder(std::filesystem::path folder, ModelLoader load, std::shared_ptr<ModelStore> store);

  /// Loads what is new or changed (by its inode, size and time of change), in the order of names,
  /// and lets go of what has vanished. A file that cannot be opened is reported once and looked at
  /// again when it has changed; what was served under its name goes on being served.
  /// Errc::not_found: no such folder; permission_denied: others than its owner may write to it, or
  /// it cannot be read; then nothing is changed.
  [[nodiscard]] core::Result<std::vector<FolderChange>> scan();

 private:
  struct Stamp {
    std::uint64_t inode = 0, size = 0;
    std::int64_t seconds = 0, nanoseconds = 0;
    friend bool operator==(const Stamp&, const Stamp&) = default;
  };
  struct Known {
    Stamp stamp;
    std::optional<core::Fingerprint> serves;
  };
  void let_go(core::Fingerprint model);

  const std::filesystem::path folder_;
  const ModelLoader load_;
  const std::shared_ptr<ModelStore> store_;
  std::mutex mutex_;
  std::map<std::string, Known> known_;
};

}  // namespace cleave::inline v0::exec
