// Takes model files from the network into a folder, where the operator allowed that.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/ids.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/sinks.hpp>
#include <cleave/exec/push_protocol.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <vector>

namespace cleave::inline v0::exec {

struct ModelInboxOptions {
  std::filesystem::path folder;                     ///< where finished files go; must exist
  std::uint64_t max_file = std::uint64_t{1} << 30;  ///< bytes of one file
  /// Bytes of all files that came this way and are still in the folder, and of those under way at
  /// their announced size.
  std::uint64_t quota = std::uint64_t{4} << 30;
  std::size_t max_under_way = 8;  ///< files begun and not finished
  /// SHA-256 of a file's bytes as 64 lower-case hexadecimal digits (model::file_fingerprint).
  std::function<core::Result<std::string>(const std::filesystem::path&)> digest_of;
  /// Opens the file as the operator's policy wants it (checked in a child process, refused unless
  /// listed, ...) and serves it. A file that this refuses is deleted.
  std::function<core::Result<core::Fingerprint>(const std::filesystem::path&)> accept;
  core::LogSink* log = &core::null_log();  ///< must outlive the inbox
};

/// Bytes are collected in FOLDER/.incoming/DIGEST.EXTENSION, appended in order; what is there after
/// a broken connection or a restart is built upon. commit() syncs the file, compares its SHA-256,
/// has it accepted, and renames it to FOLDER/DIGEST.EXTENSION, so that the folder never holds a
/// part of a file or one that was refused. Files that nobody has begun since the start are deleted
/// when their room is needed. Thread-safe; accept() is called without a lock, from commit()'s
/// thread.
class CLEAVE_EXPORT ModelInbox {
 public:
  explicit ModelInbox(ModelInboxOptions options);

  /// The bytes that are there. Errc::exhausted: over max_file, quota or max_under_way; io,
  /// permission_denied: the folder.
  [[nodiscard]] core::Result<std::uint64_t> begin(const PushBegin& begin);
  /// The bytes that are there now. Errc::not_found: not begun; mismatch: they do not belong at this
  /// offset; exhausted: more than announced; in_use: being committed; io: e.g. the disk is full.
  [[nodiscard]] core::Result<std::uint64_t> append(const PushAppend& append);
  /// Errc::corrupt: another SHA-256 (the bytes are deleted); mismatch: bytes are missing; in_use:
  /// being committed already; and those of accept().
  [[nodiscard]] core::Result<core::Fingerprint> commit(const std::string& digest);

  /// The methods of the service, for a server.
  [[nodiscard]] core::Result<std::vector<std::byte>> handle_begin(
      std::span<const std::byte> message);
  [[nodiscard]] core::Result<std::vector<std::byte>> handle_append(
      std::span<const std::byte> message);
  [[nodiscard]] core::Result<std::vector<std::byte>> handle_commit(
      std::span<const std::byte> message);

 private:
  struct File {
    std::uint64_t size = 0;
    std::string extension;
    bool committing = false;
  };
  [[nodiscard]] std::filesystem::path part(const std::string& digest, const File& file) const;
  [[nodiscard]] core::Result<void> make_room(const PushBegin& begin);

  ModelInboxOptions options_;
  std::mutex mutex_;
  std::map<std::string, File> under_way_;
};

}  // namespace cleave::inline v0::exec
