#include <cleave/core/bytes.hpp>
#include <cleave/exec/push_protocol.hpp>

#include <algorithm>

namespace cleave::inline v0::exec {
namespace {

constexpr std::uint8_t format = 1;
constexpr std::uint32_t digest_length = 64;
constexpr std::uint32_t extension_limit = 8;

tl::unexpected<core::Error> malformed() {
  return core::fail(core::Errc::corrupt, "malformed message about a pushed model");
}

bool is_digest(std::string_view text) {
  return text.size() == digest_length && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

std::vector<std::byte> begun(std::string_view digest) {
  std::vector<std::byte> out;
  core::ByteWriter writer(out);
  writer.put(format);
  writer.put_string(digest);
  return out;
}

}  // namespace

std::vector<std::byte> write_push_begin(const PushBegin& begin) {
  std::vector<std::byte> out = begun(begin.digest);
  core::ByteWriter writer(out);
  writer.put(begin.size);
  writer.put_string(begin.extension);
  return out;
}

std::vector<std::byte> write_push_append(const PushAppend& append) {
  std::vector<std::byte> out = begun(append.digest);
  core::ByteWriter writer(out);
  writer.put(append.offset);
  writer.put_bytes(append.bytes);
  return out;
}

std::vector<std::byte> write_push_commit(std::string_view digest) {
  return begun(digest);
}

std::vector<std::byte> write_push_offset(std::uint64_t offset) {
  std::vector<std::byte> out;
  core::ByteWriter writer(out);
  writer.put(format);
  writer.put(offset);
  return out;
}

std::vector<std::byte> write_push_committed(core::Fingerprint model) {
  std::vector<std::byte> out;
  core::ByteWriter writer(out);
  writer.put(format);
  writer.put(model.structure);
  writer.put(model.weights);
  return out;
}

core::Result<PushBegin> parse_push_begin(std::span<const std::byte> message) {
  core::ByteReader reader(message);
  const auto version = reader.get<std::uint8_t>();
  PushBegin begin;
  begin.digest = reader.get_string(digest_length);
  begin.size = reader.get<std::uint64_t>();
  begin.extension = reader.get_string(extension_limit);
  if (!reader.finished() || version != format || !is_digest(begin.digest) ||
      (begin.extension != ".pt" && begin.extension != ".onnx"))
    return malformed();
  return begin;
}

core::Result<PushAppend> parse_push_append(std::span<const std::byte> message) {
  core::ByteReader reader(message);
  const auto version = reader.get<std::uint8_t>();
  PushAppend append;
  append.digest = reader.get_string(digest_length);
  append.offset = reader.get<std::uint64_t>();
  append.bytes = reader.rest();
  if (!reader.ok() || version != format || !is_digest(append.digest) || append.bytes.empty())
    return malformed();
  return append;
}

core::Result<std::string> parse_push_commit(std::span<const std::byte> message) {
  core::ByteReader reader(message);
  const auto version = reader.get<std::uint8_t>();
  std::string digest = reader.get_string(digest_length);
  if (!reader.finished() || version != format || !is_digest(digest))
    return malformed();
  return digest;
}

core::Result<std::uint64_t> parse_push_offset(std::span<const std::byte> message) {
  core::ByteReader reader(message);
  const auto version = reader.get<std::uint8_t>();
  const auto offset = reader.get<std::uint64_t>();
  if (!reader.finished() || version != format)
    return malformed();
  return offset;
}

core::Result<core::Fingerprint> parse_push_committed(std::span<const std::byte> message) {
  core::ByteReader reader(message);
  const auto version = reader.get<std::uint8_t>();
  core::Fingerprint model;
  model.structure = reader.get<std::uint64_t>();
  model.weights = reader.get<std::uint64_t>();
  if (!reader.finished() || version != format)
    return malformed();
  return model;
}

}  // namespace cleave::inline v0::exec
