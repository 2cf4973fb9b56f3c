// Bodies on their way in.
#pragma once

#include "lib/transport/rate_of_arrival.hpp"

#include <cleave/transport/protocol.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

namespace cleave::inline v0::transport {

// Requests' bodies and replies', by the request's id. A frame's bytes belong to the body that was
// selected last; what belongs to none, because it was refused or cancelled, is skipped. Not
// thread-safe.
class Inbox {
 public:
  using Bytes = std::vector<std::byte>;

  struct Body {
    RequestHead head;         // of a request
    ServerTimes times;        // of a reply
    std::uint64_t bound = 0;  // bytes that it has at most
    bool streamed = false;    // handed over by pieces
    core::Seconds since;
    std::uint64_t total = 0;  // bytes so far
    // The whole, or the piece that is next: `filled` bytes, and behind them what has no meaning.
    Bytes bytes;
    std::size_t filled = 0;
    bool has_memory = false;
    RateOfArrival arrival;
  };

  void make_with(std::function<Bytes(std::size_t)> make) { make_ = std::move(make); }

  void begin(std::uint64_t id, bool reply, Body body, core::Seconds now);
  // True: there was one.
  bool drop(std::uint64_t id, bool reply);
  [[nodiscard]] const Body* find(std::uint64_t id, bool reply) const;
  [[nodiscard]] bool empty() const { return requests_.empty() && replies_.empty(); }

  void select(std::uint64_t id, bool reply) { selected_ = Selected{id, reply}; }
  void select_none() { selected_.reset(); }
  // Errc::corrupt: more than was announced.
  [[nodiscard]] core::Result<void> add(std::span<const std::byte> bytes, core::Seconds now);
  // Where up to `most` of the next bytes may be put, and then how many were.
  [[nodiscard]] std::span<std::byte> room(std::size_t most);
  [[nodiscard]] core::Result<void> filled(std::size_t count, core::Seconds now);
  // A piece of the selected body that is to be handed over: if it is long enough, or at the end of
  // a frame if it is not empty.
  std::optional<event::Piece> take_piece(bool end_of_frame);
  struct Whole {
    std::uint64_t id = 0;
    bool reply = false;
    Body body;
  };
  // The selected body, which has come to its end.
  std::optional<Whole> take_whole();
  // What to tell the peer of how fast bodies come, if it is time.
  std::optional<core::BytesPerSecond> take_rate(core::Seconds now);

 private:
  struct Selected {
    std::uint64_t id = 0;
    bool reply = false;
  };
  using Bodies = std::unordered_map<std::uint64_t, Body>;

  [[nodiscard]] Bodies& bodies(bool reply) { return reply ? replies_ : requests_; }
  [[nodiscard]] Body* selected();
  [[nodiscard]] core::Result<void> count(Body& body, std::size_t bytes, core::Seconds now);
  void get_memory(Body& body, std::size_t next) const;

  Bodies requests_, replies_;
  std::optional<Selected> selected_;  // looked up each time: it may be dropped between two reads
  RateOfArrival busy_;                // while any body is coming in
  std::function<Bytes(std::size_t)> make_;
};

}  // namespace cleave::inline v0::transport
