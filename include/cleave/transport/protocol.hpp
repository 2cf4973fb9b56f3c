// The wire protocol as a state machine without I/O: bytes in, events out; calls in, bytes out.
// lib/transport/PROTOCOL.md describes the bytes.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/units.hpp>
#include <cleave/transport/limits.hpp>
#include <cleave/transport/shared_bytes.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace cleave::inline v0::transport {

inline constexpr std::uint32_t protocol_magic = 0x45564C43;  ///< "CLVE"
inline constexpr std::uint16_t protocol_version = 2;
inline constexpr std::size_t max_name = 64;          ///< bytes of a service's or method's name
inline constexpr std::size_t max_token = 512;        ///< bytes
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
  credit = 10,
  want = 11,
  reclaim = 12,
  give_back = 13,
  auth = 14,
  rate = 15,
};

inline constexpr std::uint64_t feature_rate = 1;  ///< takes FrameType::rate

/// Precedes every frame, little-endian.
struct FrameHeader {
  std::uint32_t length = 0;  ///< of what follows
  std::uint8_t type = 0;
  std::uint8_t flags = 0;
  std::uint16_t head = 0;  ///< of what follows, what is not a body's
  std::uint64_t id = 0;    ///< of the request, given by its caller; 0: the connection itself
};
static_assert(sizeof(FrameHeader) == 16);

/// In FrameHeader::flags.
inline constexpr std::uint8_t flag_reply = 1;  ///< the bytes belong to a reply
inline constexpr std::uint8_t flag_last = 2;   ///< the body ends with this frame

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
  Limits peer;  ///< max_body, max_frame, max_in_flight and first_credit are the peer's
};
struct Begun {  ///< a request whose body is handed over piece by piece, see Protocol::stream()
  std::uint64_t id = 0;
  RequestHead head;
  std::uint64_t bound = 0;  ///< bytes of the body, at most
};
struct Piece {  ///< the next bytes of such a body
  std::uint64_t id = 0;
  std::vector<std::byte> bytes;
};
struct Request {
  std::uint64_t id = 0;
  RequestHead head;
  std::vector<std::byte> body;  ///< empty if it was handed over by pieces
  core::Seconds upload;
  core::Seconds since;    ///< when the request's first bytes were read
  bool streamed = false;  ///< the pieces were all
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
struct Wanted {  ///< the peer needs so much more credit; answer with Protocol::grant(), in time
  std::uint64_t bytes = 0;
};
struct Returned {  ///< the peer gave so much back, and takes back what it wanted before
  std::uint64_t bytes = 0;
};
struct Auth {  ///< what the peer says to be let in
  std::string token;
};
struct Rate {  ///< how fast bodies from here arrive at the peer
  core::BytesPerSecond rate;
};
}  // namespace event

using Event = std::variant<event::Ready, event::Begun, event::Piece, event::Request,
                           event::Response, event::Failed, event::Cancelled, event::RoundTrip,
                           event::GoAway, event::Wanted, event::Returned, event::Auth, event::Rate>;

/// A frame to be written: head, then body. The body's memory lives as long as `owner`.
struct OutgoingFrame {
  std::vector<std::byte> head;
  std::span<const std::byte> body;
  std::shared_ptr<const void> owner;
};

/// One side of one connection; both sides are alike, and either may call. Not thread-safe.
///
/// Frames go out in this order: control frames, then chunks of the bodies with the highest
/// priority: of that which has least to send, and every fourth of the oldest. Nothing but hello
/// goes out before the peer's hello is in. Bodies are sent on the peer's credit; what the peer may
/// send is granted here, see Limits::first_credit and grant().
class CLEAVE_EXPORT Protocol {
 public:
  explicit Protocol(const Limits& limits);
  ~Protocol();
  Protocol(const Protocol&) = delete;
  Protocol& operator=(const Protocol&) = delete;

  /// A call to the peer; the answer is an event::Response or event::Failed with the id given.
  /// Errc::invalid_argument: a name is empty or too long; exhausted: over max_outgoing, or, once
  /// the peer's limits are known, over its max_body; unavailable: the peer takes no new requests.
  core::Result<std::uint64_t> request(const RequestHead& head, SharedBytes body);
  /// The same, with a body of at most `bound` bytes that is still to be made: append() it piece by
  /// piece and then finish(). Errors as request()'s.
  core::Result<std::uint64_t> begin_request(const RequestHead& head, std::uint64_t bound);
  /// Ignored for a request that is answered or cancelled already. Errc::exhausted: over its bound.
  core::Result<void> append(std::uint64_t id, SharedBytes piece);
  void finish(std::uint64_t id);
  /// Nothing more is sent of the request, and no event with its id will come.
  void cancel(std::uint64_t id);

  /// Answers a request of the peer; ignored if the peer has cancelled it. A body over the peer's
  /// max_body or over max_outgoing is answered with Errc::exhausted instead.
  void respond(std::uint64_t id, std::vector<std::byte> body, const ServerTimes& times);
  void respond_error(std::uint64_t id, const core::Error& error);
  /// The body of a request of the peer, cancelled since, has been let go of: its bytes may be sent
  /// anew. Answers imply it.
  void release(std::uint64_t id);

  /// Says which requests' bodies are to be handed over piece by piece, as event::Begun, Piece and
  /// in the end Request. Before the first receive().
  void stream(std::function<bool(const RequestHead&, std::uint64_t bound)> which);

  /// Where bodies that come in get their memory: `make` gives room for so many bytes, at least,
  /// whose contents have no meaning. Without it, memory is new each time. Before the first
  /// receive().
  void make_bodies_with(std::function<std::vector<std::byte>(std::size_t)> make);

  /// The peer may send so many bytes of bodies more.
  void grant(std::uint64_t bytes);
  /// What is let go of is granted anew only up to so much in all; the peer is asked for what it has
  /// beyond Limits::first_credit and does not need.
  void keep_at_most(std::uint64_t bytes);
  /// Bytes that the peer may send, or has sent and that are not let go of: what this connection
  /// may take of memory for bodies coming in.
  [[nodiscard]] std::uint64_t incoming_budget() const;

  /// Says who this side is, before its requests. At most max_token bytes.
  void authenticate(std::string_view token);
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

  /// The next bytes from the peer belong to a body that has begun.
  [[nodiscard]] bool in_body() const;
  /// Where the next bytes from the peer belong, if they are a body's: who reads them there and says
  /// so by direct() spares a copy. At most `most` bytes; empty if they must go through receive().
  [[nodiscard]] std::span<std::byte> room(std::size_t most);
  /// `count` bytes were read into what room() gave last.
  [[nodiscard]] core::Result<void> direct(std::size_t count, core::Seconds now,
                                          std::vector<Event>& events);

  /// The next frame to write; false if there is none now.
  [[nodiscard]] bool next(OutgoingFrame& frame);
  [[nodiscard]] bool ready() const;
  /// A frame or a body of the peer has begun and is not whole yet.
  [[nodiscard]] bool receiving() const;
  /// Bytes of a body that the next frame holds at most.
  [[nodiscard]] std::size_t chunk() const;
  /// Bytes of bodies that wait to be written.
  [[nodiscard]] std::uint64_t outgoing_bytes() const;
  /// Requests of the peer that are not answered yet.
  [[nodiscard]] std::size_t unanswered() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace cleave::inline v0::transport
