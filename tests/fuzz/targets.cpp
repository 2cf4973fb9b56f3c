#include "tests/fuzz/targets.hpp"

#include "lib/model/checked_file.hpp"
#include "lib/model/pickle_check.hpp"
#include "lib/transport/gate.hpp"
#include "profiler/host_wire.hpp"
#ifdef CLEAVE_FUZZ_ONNX
#include "tests/fuzz/onnx_target.hpp"
#endif

#include <cleave/core/bytes.hpp>
#include <cleave/data/npy.hpp>
#include <cleave/exec/infer_protocol.hpp>
#include <cleave/exec/push_protocol.hpp>
#include <cleave/model/model.hpp>
#include <cleave/transport/codec.hpp>
#include <cleave/transport/protocol.hpp>
#include <cleave/transport/tls.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

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
  // The same in two parts.
  transport::ValuesDecoder decoder(limits);
  const bool first = decoder.add(bytes(data, size / 2)).has_value();
  const bool second = decoder.add(bytes(data + size / 2, size - size / 2)).has_value();
  require(decoder.finish().has_value() == decoded.has_value());
  require(first || !second);
  if (!decoded)
    return;
  // What was decoded can be sent on, by every kind of codec.
  for (const char* codec : {"raw", "int8c", "q4+zstd:1"}) {
    std::vector<std::byte> message;
    const auto encoded =
        transport::encode_values(*decoded, **transport::find_codec(codec), message);
    require(encoded.has_value(), encoded ? "" : "encode: " + encoded.error().message());
    const auto again = transport::decode_values(message);
    require(again.has_value(), again ? "" : "decode: " + again.error().message());
  }
}

// One codec's decoder: u8 each for the codec, whether zstd follows, the type, and, less one, the
// channels, their run and the rounds of all channels; then the codec's header and an encoded piece.
void codec(const std::uint8_t* data, std::size_t size) {
  core::ByteReader from(bytes(data, size));
  const auto names = transport::codec_names();
  std::string name(names[from.get<std::uint8_t>() % names.size()]);
  if (from.get<std::uint8_t>() % 2 == 1)
    name += "+zstd";
  const transport::Codec& codec = **transport::find_codec(name);
  transport::BlockShape shape;
  shape.dtype = static_cast<core::DType>(from.get<std::uint8_t>() % core::dtype_count);
  shape.channels = std::size_t{from.get<std::uint8_t>()} + 1;
  shape.run = std::size_t{from.get<std::uint8_t>()} + 1;
  shape.elements = shape.channels * shape.run * (std::size_t{from.get<std::uint8_t>()} + 1);
  shape.elements = std::min(shape.elements, transport::piece_bytes / core::size_of(shape.dtype));
  const auto header = from.take(codec.header_size(shape));
  if (!from.ok() || from.rest().size() > codec.bound(shape, shape.elements))
    return;
  const auto storage = core::allocate_storage(shape.elements * core::size_of(shape.dtype));
  transport::Workspace workspace;
  require_clear(codec.decode({shape, header, 0}, from.rest(),
                             std::span(storage->data(), storage->size()), workspace));
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
  require_clear(profiler::parse_provenance(bytes(data, size)));
}

void npy(const std::uint8_t* data, std::size_t size) {
  const auto tensor = data::parse_npy(bytes(data, size), "fuzz");
  require_clear(tensor);
  if (!tensor)
    return;
  const auto written = data::npy_bytes(*tensor);
  require(written && data::parse_npy(*written, "fuzz"));
}

// What stands before the protocol where a server has tokens: the first byte tells how the rest is
// cut into reads.
void gate(const std::uint8_t* data, std::size_t size) {
  static const auto tokens = std::make_shared<const transport::Tokens>(
      *transport::Tokens::parse(*transport::token_line(std::string(32, 'a'), "seed"), "fuzz"));
  transport::Gate whole(tokens), cut(tokens);
  const auto all_bytes = bytes(data, size).subspan(std::min<std::size_t>(size, 1));
  const std::size_t step = size > 0 ? data[0] % 64U + 1 : 1;
  // HELLO and AUTH with their headers.
  constexpr std::size_t most = 16 + 4096 + 16 + 512;
  auto verdict = transport::Gate::Verdict::undecided;
  for (std::size_t at = 0; at < all_bytes.size(); at += step) {
    require(cut.wanted() <= most, "the gate wants more than its frames");
    verdict = cut.feed(all_bytes.subspan(at, std::min(step, all_bytes.size() - at)));
  }
  require(whole.feed(all_bytes) == verdict, "the verdict depends on how the bytes are cut");
  require(whole.told() == cut.told());
  if (verdict == transport::Gate::Verdict::admitted)
    require(std::string(reinterpret_cast<const char*>(data), size).find(std::string(32, 'a')) !=
                std::string::npos,
            "admitted without the token");
}

// A connection's other side: bytes for the protocol's state machine, and what its owner does about
// them. Byte 0 tells how the rest is cut into reads, byte 1 what the owner does.
class ProtocolRun {
 public:
  ProtocolRun(std::size_t step, unsigned habits) : step_(step), habits_(habits), here_(limits()) {
    if ((habits_ & by_pieces) != 0)
      here_.stream(
          [](const transport::RequestHead& head, std::uint64_t) { return head.method == "p"; });
    for (int i = 0; i < 2; ++i) {
      const auto id = here_.request({"s", "m", 1, core::Seconds(0)}, std::vector<std::byte>(300));
      require(id.has_value());
      calls_.insert(*id);
    }
    write();
    if ((habits_ & introduced) != 0) {
      transport::Protocol peer{transport::Limits{}};
      transport::OutgoingFrame hello;
      require(peer.next(hello) && feed(hello.head) && ready_, "cleave does not know its own hello");
    }
  }

  void run(std::span<const std::byte> all) {
    for (std::size_t at = 0; at < all.size(); at += step_)
      if (!feed(all.subspan(at, std::min(step_, all.size() - at))))
        return;
  }

  // The requests that were whole, if nobody did anything about them.
  std::vector<std::pair<std::uint64_t, std::vector<std::byte>>> requests;
  bool failed = false;

 private:
  enum Habit : unsigned {
    introduced = 1,
    by_pieces = 2,
    in_place = 4,
    answers = 8,
    drops_calls = 16
  };

  static transport::Limits limits() {
    transport::Limits limits;
    limits.max_body = 8192;
    limits.max_incoming = 16384;
    limits.max_outgoing = 16384;
    limits.first_credit = 4096;
    limits.max_frame = 8192;
    limits.max_in_flight = 4;
    limits.chunk = 1024;
    return limits;
  }

  bool feed(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      std::vector<transport::Event> events;
      now_ += core::Seconds(0.001);
      const auto room =
          (habits_ & in_place) != 0 ? here_.room(bytes.size()) : std::span<std::byte>();
      require(room.size() <= bytes.size(), "more room than was asked for");
      const std::size_t count = room.empty() ? bytes.size() : room.size();
      std::copy_n(bytes.begin(), room.size(), room.begin());
      const auto done = room.empty() ? here_.receive(bytes.first(count), now_, events)
                                     : here_.direct(count, now_, events);
      bytes = bytes.subspan(count);
      for (transport::Event& event : events) std::visit([&](auto& e) { on(e); }, event);
      require_clear(done);
      failed = !done;
      require(here_.incoming_budget() <= limits().max_incoming, "over its budget");
      require(here_.unanswered() <= limits().max_in_flight, "more requests than are allowed");
      if (failed)
        return false;
      write();
    }
    return true;
  }

  void write() {
    transport::OutgoingFrame frame;
    while (here_.next(frame)) {
      transport::FrameHeader header;
      require(frame.head.size() >= sizeof header);
      std::memcpy(&header, frame.head.data(), sizeof header);
      require(sizeof header + header.length == frame.head.size() + frame.body.size(),
              "a frame's length is not what it says");
      require(frame.body.empty() || ready_, "a body before the peer's hello");
      require(!ready_ || header.length <= peer_.max_frame, "a frame over the peer's limit");
    }
    require(here_.outgoing_bytes() <= limits().max_outgoing);
  }

  void on(const transport::event::Ready& event) {
    require(!ready_, "ready twice");
    ready_ = true;
    peer_ = event.peer;
  }
  void on(const transport::event::Begun& event) {
    require(event.bound <= limits().max_body);
    pieces_[event.id] = {event.bound, 0};
  }
  void on(const transport::event::Piece& event) {
    auto& [bound, seen] = pieces_.at(event.id);
    seen += event.bytes.size();
    require(seen <= bound, "more bytes than were announced");
  }
  void on(transport::event::Request& event) {
    require(ready_ && event.body.size() <= limits().max_body);
    if ((habits_ & answers) == 0)
      requests.emplace_back(event.id, std::move(event.body));
    else if (event.id % 3 == 0)
      here_.respond_error(event.id, {core::Errc::not_found, "no", {}, {}});
    else
      here_.respond(event.id, std::move(event.body), {});
  }
  void on(const transport::event::Response& event) { end(event.id); }
  void on(const transport::event::Failed& event) { end(event.id); }
  void on(const transport::event::Cancelled& event) { here_.release(event.id); }
  void on(const transport::event::Wanted& event) {
    here_.grant(std::min(event.bytes, limits().max_incoming - here_.incoming_budget()));
  }
  void on(const transport::event::Rate&) {
    if ((habits_ & drops_calls) != 0 && !calls_.empty()) {
      here_.cancel(*calls_.begin());
      calls_.erase(calls_.begin());
    }
  }
  template <class Other>
  void on(const Other&) {}

  void end(std::uint64_t id) { require(calls_.erase(id) == 1, "an answer to no call of ours"); }

  const std::size_t step_;
  const unsigned habits_;
  transport::Protocol here_;
  transport::Limits peer_;
  bool ready_ = false;
  core::Seconds now_{1};
  std::set<std::uint64_t> calls_;
  std::map<std::uint64_t, std::pair<std::uint64_t, std::uint64_t>> pieces_;  // bound, so far
};

void protocol(const std::uint8_t* data, std::size_t size) {
  if (size < 2)
    return;
  const auto rest = bytes(data, size).subspan(2);
  ProtocolRun cut(data[0] % 200U + 1, data[1]);
  cut.run(rest);
  // What nobody reacts to does not depend on how it was cut.
  if (constexpr unsigned reacts = 8; (data[1] & reacts) == 0) {
    ProtocolRun whole(std::max<std::size_t>(rest.size(), 1), data[1]);
    whole.run(rest);
    require(whole.failed == cut.failed && whole.requests == cut.requests,
            "the requests depend on how the bytes are cut");
  }
}

constexpr std::array all{
    Target{"archive", archive}, Target{"pickle", pickle},     Target{"input_spec", input_spec},
    Target{"values", values},   Target{"codec", codec},       Target{"infer", infer},
    Target{"measure", measure}, Target{"npy", npy},           Target{"push", push},
    Target{"gate", gate},       Target{"protocol", protocol},
#ifdef CLEAVE_FUZZ_ONNX
    Target{"onnx", onnx},
#endif
};

}  // namespace

std::span<const Target> targets() {
  return all;
}

}  // namespace cleave::fuzz
