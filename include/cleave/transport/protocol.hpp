// The wire protocol as a state machine without I/O: bytes in, events out; calls in, bytes out.
// lib/transport/PROTOCOL.md describes the bytes.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/units.hpp>
#include <cleave/transport/limits.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace cleave::inline v0::transport {

inline constexpr std::uint32_t protocol_magic = 0x45564C43;  ///< "CLVE"
inline constexpr std::uint16_t protocol_version = 1;
inline constexpr std::size_t max_name = 64;          ///< bytes of a service's or method's name
inline constexpr std::size_t max_error_text = 1024;  ///< bytes of each text of an error

enum class FrameType : std::uint8_t {
  hello = 1,
  request = 2,
  data = 3,
  response = 4,
  error = 5,
  cancel = 6,
  ping = 7,
  pong = 8,
  go_away = 9,
};

/// Precedes every frame, little-endian.
struct FrameHeader {
  std::uint32_t length = 0;  ///< of the payload
  std::uint8_t type = 0;
  std::uint8_t flags = 0;
  std::uint16_t reserved = 0;
  std::uint64_t id = 0;  ///< of the request, given by its caller; 0: the connection itself
};
static_assert(sizeof(FrameHeader) == 16);

/// In FrameHeader::flags of data: the bytes belong to a reply.
inline constexpr std::uint8_t flag_reply = 1;

struct RequestHead {
  std::string service, method;
  std::uint8_t priority = 1;  ///< larger is more urgent
  /// Time left when it was sent; 0: no deadline. Never a wall clock's time.
  core::Seconds remaining;
};

/// What the callee says about the work, for the caller's estimates.
struct ServerTimes {
  core::Seconds upload;   ///< the body arriving, at the rate seen after its first bytes; 0: at once
  core::Seconds queue;    ///< waiting for a worker
  core::Seconds handler;  ///< the work itself
};

namespace event {
struct Ready {  ///< the peer said hello and the versions fit
  std::uint16_t version = 0;
  std::uint64_t features = 0;
  Limits peer;  ///< max_body, max_frame and max_in_flight are the peer's
};
struct Request {
  std::uint64_t id = 0;
  RequestHead head;
  std::vector<std::byte> body;
  core::Seconds upload;
};
struct Response {
  std::uint64_t id = 0;
  std::vector<std::byte> body;
  ServerTimes times;
  core::Seconds download;  ///< the body arriving here, as ServerTimes::upload
};
struct Failed {  ///< the peer answered a request with an error
  std::uint64_t id = 0;
  core::Error error;
};
struct Cancelled {  ///< the peer does not want the answer any more; do not answer
  std::uint64_t id = 0;
};
struct RoundTrip {  ///< of a ping
  core::Seconds time;
};
struct GoAway {  ///< the peer takes no new requests
  std::string reason;
};
}  // namespace event

using Event = std::variant<event::Ready, event::Request, event::Response, event::Failed,
                           event::Cancelled, event::RoundTrip, event::GoAway>;

/// A frame to be written: head, then body. The body's memory lives as long as `owner`.
struct OutgoingFrame {
  std::vector<std::byte> head;
  std::span<const std::byte> body;
  std::shared_ptr<const std::vector<std::byte>> owner;
};

/// One side of one connection; both sides are alike, and either may call. Not thread-safe.
///
/// Frames go out in this order: control frames, then chunks of the bodies with the highest
/// priority, in turn. Nothing but hello goes out before the peer's hello is in.
class CLEAVE_EXPORT Protocol {
 public:
  explicit Protocol(const Limits& limits);
  ~Protocol();
  Protocol(const Protocol&) = delete;
  Protocol& operator=(const Protocol&) = delete;

  /// A call to the peer; the answer is an event::Response or event::Failed with the id given.
  /// Errc::invalid_argument: a name is empty or too long; exhausted: over max_outgoing, or, once
  /// the peer's limits are known, over its max_body; unavailable: the peer takes no new requests.
  core::Result<std::uint64_t> request(const RequestHead& head, std::vector<std::byte> body);
  /// Nothing more is sent of the request, and no event with its id will come.
  void cancel(std::uint64_t id);

  /// Answers a request of the peer; ignored if the peer has cancelled it. A body over the peer's
  /// max_body or over max_outgoing is answered with Errc::exhausted instead.
  void respond(std::uint64_t id, std::vector<std::byte> body, const ServerTimes& times);
  void respond_error(std::uint64_t id, const core::Error& error);

  /// An event::RoundTrip answers it.
  void ping(core::Seconds now);
  /// Tells the peer to send no new requests; those that come nevertheless are refused.
  void go_away(std::string_view reason);
  /// Says nothing but why this connection is not served, instead of hello. Before next() only.
  void refuse(std::string_view reason);

  /// Takes what was read and appends what it means. `now` is when it was read, on a monotonic
  /// clock. After an error (Errc::corrupt, version or exhausted) the connection cannot be used any
  /// more, though frames that explain why to the peer may still be taken by next().
  [[nodiscard]] core::Result<void> receive(std::span<const std::byte> bytes, core::Seconds now,
                                           std::vector<Event>& events);

  /// The next frame to write; false if there is none now.
  [[nodiscard]] bool next(OutgoingFrame& frame);
  [[nodiscard]] bool ready() const;
  /// Bytes of bodies that wait to be written.
  [[nodiscard]] std::uint64_t outgoing_bytes() const;
  /// Requests of the peer that are not answered yet.
  [[nodiscard]] std::size_t unanswered() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace cleave::inline v0::transport
