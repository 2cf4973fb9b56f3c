#include "tests/fuzz/targets.hpp"

#include "lib/model/checked_file.hpp"
#include "lib/model/pickle_check.hpp"
#include "profiler/host_wire.hpp"
#ifdef CLEAVE_FUZZ_ONNX
#include "tests/fuzz/onnx_target.hpp"
#endif

#include <cleave/data/npy.hpp>
#include <cleave/exec/infer_protocol.hpp>
#include <cleave/exec/push_protocol.hpp>
#include <cleave/model/model.hpp>
#include <cleave/transport/codec.hpp>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace cleave::fuzz {
namespace {

std::span<const std::byte> bytes(const std::uint8_t* data, std::size_t size) {
  return std::as_bytes(std::span(data, size));
}

void require(bool promise, const std::string& what = "a promise does not hold") {
  if (promise)
    return;
  std::fprintf(stderr, "%s\n", what.c_str());
  std::abort();
}

// An error is one line, and not a fault of cleave itself.
template <class T>
void require_clear(const core::Result<T>& result) {
  if (result)
    return;
  require(result.error().code != core::Errc::internal, result.error().message());
  require(!result.error().what.empty());
  require(result.error().message().find('\n') == std::string::npos);
}

void archive(const std::uint8_t* data, std::size_t size) {
  model::ArchiveLimits limits;
  limits.unpacked = limits.pickle = std::uint64_t{16} << 20;  // a fuzzer wants quick answers
  require_clear(model::check_archive(model::MemorySource(bytes(data, size)), "fuzz", limits));
}

void pickle(const std::uint8_t* data, std::size_t size) {
  require_clear(model::check_pickle(
      bytes(data, size),
      [](std::string_view key) {
        return key.size() == 1 ? std::optional<std::uint64_t>(16) : std::nullopt;
      },
      "fuzz"));
}

void input_spec(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto spec = model::parse_input_spec(text);
  if (!spec)
    return;
  const auto again = model::parse_input_spec(model::to_string(*spec));
  require(again && *again == *spec);
}

void values(const std::uint8_t* data, std::size_t size) {
  transport::DecodeLimits limits;
  limits.max_bytes = std::size_t{1} << 22;
  const auto decoded = transport::decode_values(bytes(data, size), limits);
  require_clear(decoded);
  if (!decoded)
    return;
  // What was decoded can be sent on.
  std::vector<std::byte> message;
  const auto encoded = transport::encode_values(*decoded, **transport::find_codec("raw"), message);
  require(encoded.has_value(), encoded ? "" : "encode: " + encoded.error().message());
  const auto again = transport::decode_values(message);
  require(again.has_value(), again ? "" : "decode: " + again.error().message());
}

void infer(const std::uint8_t* data, std::size_t size) {
  require_clear(exec::unseal(bytes(data, size)));
  require_clear(exec::parse_tail_request(bytes(data, size)));
  require_clear(exec::parse_tail_reply(bytes(data, size)));
  require_clear(exec::parse_description(bytes(data, size)));
}

void push(const std::uint8_t* data, std::size_t size) {
  const auto begin = exec::parse_push_begin(bytes(data, size));
  require_clear(begin);
  // What is let through is a name and nothing else.
  if (begin)
    require((begin->digest + begin->extension).find_first_of("/\\") == std::string::npos &&
            begin->digest.size() == 64);
  require_clear(exec::parse_push_append(bytes(data, size)));
  require_clear(exec::parse_push_commit(bytes(data, size)));
  require_clear(exec::parse_push_offset(bytes(data, size)));
  require_clear(exec::parse_push_committed(bytes(data, size)));
}

void measure(const std::uint8_t* data, std::size_t size) {
  require_clear(profiler::parse_measure_request(bytes(data, size)));
  require_clear(profiler::parse_host_profile(bytes(data, size), 3, 2));
}

void npy(const std::uint8_t* data, std::size_t size) {
  const auto tensor = data::parse_npy(bytes(data, size), "fuzz");
  require_clear(tensor);
  if (!tensor)
    return;
  const auto written = data::npy_bytes(*tensor);
  require(written && data::parse_npy(*written, "fuzz"));
}

constexpr std::array all{
    Target{"archive", archive}, Target{"pickle", pickle}, Target{"input_spec", input_spec},
    Target{"values", values},   Target{"infer", infer},   Target{"measure", measure},
    Target{"npy", npy},         Target{"push", push},
#ifdef CLEAVE_FUZZ_ONNX
    Target{"onnx", onnx},
#endif
};

}  // namespace

std::span<const Target> targets() {
  return all;
}

}  // namespace cleave::fuzz
