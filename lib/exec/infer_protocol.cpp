#include <cleave/core/bytes.hpp>
#include <cleave/core/hash.hpp>
#include <cleave/exec/infer_protocol.hpp>

#include <algorithm>
#include <cmath>

namespace cleave::inline v0::exec {
namespace {

constexpr std::uint8_t format = 1;
constexpr std::uint8_t format_with_head = 2;
constexpr std::uint32_t name_limit = 256;
constexpr std::uint32_t knob_limit = 64;
constexpr std::uint32_t level_limit = 4096;
constexpr std::uint32_t model_limit = 65536;

tl::unexpected<core::Error> malformed(std::string_view what) {
  return core::fail(core::Errc::corrupt, "malformed " + std::string(what));
}

core::Seconds get_duration(core::ByteReader& reader, bool& sane) {
  const auto seconds = reader.get<double>();
  sane = sane && std::isfinite(seconds) && seconds >= 0;
  return core::Seconds(seconds);
}

core::Fingerprint get_fingerprint(core::ByteReader& reader) {
  core::Fingerprint fingerprint;
  fingerprint.structure = reader.get<std::uint64_t>();
  fingerprint.weights = reader.get<std::uint64_t>();
  return fingerprint;
}

void put_fingerprint(core::ByteWriter& writer, core::Fingerprint fingerprint) {
  writer.put(fingerprint.structure);
  writer.put(fingerprint.weights);
}

}  // namespace

void write_tail_request_header(const TailRequest& request, std::vector<std::byte>& out) {
  core::ByteWriter writer(out);
  writer.put(request.head.empty() ? format : format_with_head);
  put_fingerprint(writer, request.model);
  writer.put(request.cut.value);
  writer.put_string(request.codec);
  writer.put(static_cast<std::uint32_t>(request.levels.size()));
  for (const core::LevelIndex level : request.levels) writer.put(level);
  if (request.head.empty())
    return;
  writer.put(static_cast<std::uint32_t>(request.head.size()));
  for (const core::StepRange& range : request.head) {
    writer.put(range.begin);
    writer.put(range.end);
  }
}

core::Result<TailRequest> parse_tail_request(std::span<const std::byte> message) {
  core::ByteReader reader(message);
  TailRequest request;
  const auto version = reader.get<std::uint8_t>();
  if (version != format && version != format_with_head)
    return malformed("tail request");
  request.model = get_fingerprint(reader);
  request.cut.value = reader.get<std::uint64_t>();
  request.codec = reader.get_string(name_limit);
  request.levels.resize(reader.get_count(sizeof(core::LevelIndex), knob_limit));
  for (core::LevelIndex& level : request.levels) level = reader.get<core::LevelIndex>();
  if (version == format_with_head) {
    request.head.resize(reader.get_count(2 * sizeof(std::uint32_t), head_limit));
    for (core::StepRange& range : request.head) {
      range.begin = reader.get<std::uint32_t>();
      range.end = reader.get<std::uint32_t>();
    }
    if (request.head.empty())
      return malformed("tail request");
  }
  request.values = reader.rest();
  if (!reader.ok())
    return malformed("tail request");
  return request;
}

std::size_t least_tail_request_header(std::span<const std::byte> beginning) {
  // Each count tells where the next one lies; one over its limit is for the parser to refuse.
  std::size_t size = 0;
  const auto count_behind = [&](std::size_t bytes, std::uint32_t limit, std::size_t each) {
    size += bytes + sizeof(std::uint32_t);
    if (beginning.size() < size)
      return false;
    const auto count =
        core::ByteReader(beginning.subspan(size - sizeof(std::uint32_t))).get<std::uint32_t>();
    size += std::min(count, limit) * each;
    return true;
  };
  constexpr std::size_t fixed = sizeof(std::uint8_t) + 3 * sizeof(std::uint64_t);
  if (count_behind(fixed, name_limit, 1) && count_behind(0, knob_limit, sizeof(core::LevelIndex)) &&
      static_cast<std::uint8_t>(beginning.front()) == format_with_head)
    count_behind(0, head_limit, 2 * sizeof(std::uint32_t));
  return size;
}

void write_tail_reply_header(const TailTimes& times, std::vector<std::byte>& out) {
  core::ByteWriter writer(out);
  writer.put(format);
  writer.put(times.decode.count());
  writer.put(times.compute.count());
  writer.put(times.encode.count());
}

core::Result<TailReply> parse_tail_reply(std::span<const std::byte> message) {
  core::ByteReader reader(message);
  if (reader.get<std::uint8_t>() != format)
    return malformed("tail reply");
  TailReply reply;
  bool sane = true;
  reply.times.decode = get_duration(reader, sane);
  reply.times.compute = get_duration(reader, sane);
  reply.times.encode = get_duration(reader, sane);
  reply.outputs = reader.rest();
  if (!reader.ok() || !sane)
    return malformed("tail reply");
  return reply;
}

std::uint64_t seal(std::vector<std::byte>& message, std::uint64_t seed) {
  const std::uint64_t check = core::hash_bytes(message, seed);
  core::ByteWriter(message).put(check);
  return check;
}

core::Result<void> check_seal(std::span<const std::byte> written, std::uint64_t check) {
  if (written.size() != sizeof check)
    return malformed("message, it has no check");
  if (core::ByteReader(written).get<std::uint64_t>() != check)
    return core::fail(core::Errc::corrupt, "the message was changed on the way", {},
                      "a memory or a network device on the way is faulty");
  return {};
}

core::Result<Unsealed> unseal(std::span<const std::byte> sealed, std::uint64_t seed) {
  const std::size_t size = sealed.size() - std::min(sealed.size(), sizeof(std::uint64_t));
  const auto message = sealed.first(size);
  const std::uint64_t check = core::hash_bytes(message, seed);
  if (auto fits = check_seal(sealed.subspan(size), check); !fits)
    return core::fail(fits);
  return Unsealed{message, check};
}

std::vector<std::byte> write_description(const HostDescription& description) {
  std::vector<std::byte> out;
  core::ByteWriter writer(out);
  writer.put(format);
  writer.put(static_cast<std::uint32_t>(description.models.size()));
  for (const core::Fingerprint fingerprint : description.models)
    put_fingerprint(writer, fingerprint);
  writer.put(static_cast<std::uint32_t>(description.knobs.size()));
  for (const auto& knob : description.knobs) {
    writer.put_string(knob.name);
    writer.put(static_cast<std::uint32_t>(knob.levels.size()));
    for (const std::string& level : knob.levels) writer.put_string(level);
  }
  return out;
}

core::Result<HostDescription> parse_description(std::span<const std::byte> message) {
  core::ByteReader reader(message);
  if (reader.get<std::uint8_t>() != format)
    return malformed("host description");
  HostDescription description;
  description.models.resize(reader.get_count(16, model_limit));
  for (core::Fingerprint& fingerprint : description.models) fingerprint = get_fingerprint(reader);
  description.knobs.resize(reader.get_count(8, knob_limit));
  for (auto& knob : description.knobs) {
    knob.name = reader.get_string(name_limit);
    knob.levels.resize(reader.get_count(4, level_limit));
    for (std::string& level : knob.levels) level = reader.get_string(name_limit);
  }
  if (!reader.finished())
    return malformed("host description");
  return description;
}

}  // namespace cleave::inline v0::exec
