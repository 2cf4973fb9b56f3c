#include "lib/transport/rate_of_arrival.hpp"

#include <cleave/core/bytes.hpp>
#include <cleave/transport/protocol.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>
#include <map>
#include <unordered_map>

namespace cleave::inline v0::transport {
namespace {

using core::Errc;
using core::fail;
using core::Result;
using core::Seconds;

// The bound on a frame's payload as long as the peer's hello is not in; hello itself is smaller.
constexpr std::uint32_t max_first_frame = 4096;
// Heads of requests and replies: fixed fields, two names.
constexpr std::uint32_t max_head = 512;
constexpr std::size_t max_control_frames = 1024;

tl::unexpected<core::Error> broken(std::string what) {
  return fail(Errc::corrupt, std::move(what), "connection",
              "the peer is no cleave, or something between damages bytes");
}

std::uint64_t microseconds(Seconds time) {
  const double us = std::ceil(time.count() * 1e6);
  return us > 0 ? (us < 9e18 ? static_cast<std::uint64_t>(us) : 0) : 0;
}
Seconds from_microseconds(std::uint64_t us) {
  return Seconds(static_cast<double>(us) * 1e-6);
}

std::string_view clipped(std::string_view text) {
  return text.substr(0, max_error_text);
}

// A body on its way out.
struct Sending {
  std::uint64_t id = 0;
  bool reply = false;
  std::uint8_t priority = 1;
  std::vector<std::byte> head;  // sent with the first chunk; empty afterwards
  std::shared_ptr<const std::vector<std::byte>> body;
  std::size_t sent = 0;
};

// A body on its way in.
struct Receiving {
  RequestHead head;   // of a request
  ServerTimes times;  // of a reply
  std::vector<std::byte> body;
  std::uint64_t total = 0;
  RateOfArrival arrival;
};

}  // namespace

struct Protocol::Impl {
  explicit Impl(const Limits& given) : limits(given) {
    limits.chunk = std::max<std::uint32_t>(limits.chunk, 1024);
    limits.max_frame = std::max<std::uint32_t>(limits.max_frame, max_first_frame);
    std::vector<std::byte> payload;
    core::ByteWriter to(payload);
    to.put(protocol_magic);
    to.put(protocol_version);  // oldest spoken
    to.put(protocol_version);  // newest spoken
    to.put(std::uint64_t{0});  // features
    to.put(limits.max_body);
    to.put(limits.max_frame);
    to.put(limits.max_in_flight);
    control(FrameType::hello, 0, payload);
  }

  // ---- out

  static std::vector<std::byte> frame(FrameType type, std::uint8_t flags, std::uint64_t id,
                                      std::span<const std::byte> payload, std::size_t body_bytes) {
    FrameHeader header;
    header.length = static_cast<std::uint32_t>(payload.size() + body_bytes);
    header.type = static_cast<std::uint8_t>(type);
    header.flags = flags;
    header.id = id;
    std::vector<std::byte> bytes(sizeof header + payload.size());
    std::memcpy(bytes.data(), &header, sizeof header);
    if (!payload.empty())
      std::memcpy(bytes.data() + sizeof header, payload.data(), payload.size());
    return bytes;
  }

  void control(FrameType type, std::uint64_t id, std::span<const std::byte> payload) {
    controls.push_back(frame(type, 0, id, payload, 0));
  }

  void send_error(std::uint64_t id, const core::Error& error) {
    std::vector<std::byte> payload;
    core::ByteWriter to(payload);
    to.put(static_cast<std::uint8_t>(error.code));
    to.put_string(clipped(error.what));
    to.put_string(clipped(error.where));
    to.put_string(clipped(error.hint));
    control(FrameType::error, id, payload);
  }

  void enqueue(Sending sending) {
    outgoing += sending.body->size();
    queues[sending.priority].push_back(std::move(sending));
  }

  // Takes a body off the queues, if it is still there.
  bool dequeue(std::uint64_t id, bool reply) {
    for (auto it = queues.begin(); it != queues.end(); ++it) {
      auto& queue = it->second;
      const auto found = std::find_if(queue.begin(), queue.end(), [&](const Sending& s) {
        return s.id == id && s.reply == reply;
      });
      if (found == queue.end())
        continue;
      outgoing -= found->body->size();
      queue.erase(found);
      if (queue.empty())
        queues.erase(it);
      return true;
    }
    return false;
  }

  bool next(OutgoingFrame& out) {
    if (!controls.empty()) {
      out = {std::move(controls.front()), {}, nullptr};
      controls.pop_front();
      return true;
    }
    if (!hello_in || queues.empty())
      return false;
    const auto most_urgent = std::prev(queues.end());
    auto& queue = most_urgent->second;
    Sending sending = std::move(queue.front());
    queue.pop_front();
    const bool first = !sending.head.empty();
    const std::size_t room = std::min(limits.chunk, peer.max_frame - max_head);
    const std::size_t count = std::min(room, sending.body->size() - sending.sent);
    const FrameType type =
        !first ? FrameType::data : (sending.reply ? FrameType::response : FrameType::request);
    out.head =
        frame(type, sending.reply ? flag_reply : std::uint8_t{0}, sending.id, sending.head, count);
    out.body = std::span(*sending.body).subspan(sending.sent, count);
    out.owner = sending.body;
    sending.head.clear();
    sending.sent += count;
    if (sending.sent < sending.body->size())
      queue.push_back(std::move(sending));  // behind its equals: they take turns
    else
      outgoing -= sending.body->size();
    if (queue.empty())
      queues.erase(most_urgent);
    return true;
  }

  // ---- in

  Result<void> receive(std::span<const std::byte> bytes, Seconds now, std::vector<Event>& events) {
    // Frames that are whole in what was read are parsed where they lie.
    while (!bytes.empty()) {
      if (partial.empty() && bytes.size() >= sizeof(FrameHeader)) {
        FrameHeader header;
        std::memcpy(&header, bytes.data(), sizeof header);
        if (auto fits = check(header); !fits)
          return fits;
        const std::size_t size = sizeof header + header.length;
        if (bytes.size() >= size) {
          frame_since = now;
          frame_at_once = header.length;
          if (auto done = take(header, bytes.subspan(sizeof header, header.length), now, events);
              !done)
            return done;
          bytes = bytes.subspan(size);
          continue;
        }
      }
      if (partial.empty()) {
        frame_since = now;
        frame_at_once = bytes.size();
      }
      const std::size_t want =
          partial.size() < sizeof(FrameHeader) ? sizeof(FrameHeader) : wanted_size();
      const std::size_t count = std::min(want - partial.size(), bytes.size());
      partial.insert(partial.end(), bytes.begin(),
                     bytes.begin() + static_cast<std::ptrdiff_t>(count));
      bytes = bytes.subspan(count);
      if (partial.size() < sizeof(FrameHeader))
        break;
      FrameHeader header;
      std::memcpy(&header, partial.data(), sizeof header);
      if (auto fits = check(header); !fits)
        return fits;
      if (partial.size() < wanted_size())
        continue;
      const auto done = take(header, std::span(partial).subspan(sizeof header), now, events);
      partial.clear();
      if (!done)
        return done;
    }
    return {};
  }

  [[nodiscard]] std::size_t wanted_size() const {
    FrameHeader header;
    std::memcpy(&header, partial.data(), sizeof header);
    return sizeof header + header.length;
  }

  [[nodiscard]] Result<void> check(const FrameHeader& header) const {
    if (!hello_in) {
      if (header.type != static_cast<std::uint8_t>(FrameType::hello) &&
          header.type != static_cast<std::uint8_t>(FrameType::go_away))
        return broken("the first frame is no hello");
      if (header.length > max_first_frame)
        return broken("a hello of " + std::to_string(header.length) + " bytes");
    } else if (header.length > limits.max_frame) {
      return fail(Errc::exhausted,
                  "a frame of " + std::to_string(header.length) + " bytes, over the limit of " +
                      std::to_string(limits.max_frame),
                  "connection");
    }
    return {};
  }

  Result<void> take(const FrameHeader& header, std::span<const std::byte> payload, Seconds now,
                    std::vector<Event>& events) {
    if (controls.size() >= max_control_frames + limits.max_in_flight)
      return fail(Errc::exhausted, "the peer asks and does not read the answers", "connection");
    switch (static_cast<FrameType>(header.type)) {
      case FrameType::hello:
        return take_hello(payload, events);
      case FrameType::request:
        return take_request(header.id, payload, now, events);
      case FrameType::response:
        return take_response(header.id, payload, now, events);
      case FrameType::data:
        return take_data(header, payload, now, events);
      case FrameType::error:
        return take_error(header.id, payload, events);
      case FrameType::cancel:
        take_cancel(header.id, events);
        return {};
      case FrameType::ping:
        // Its payload comes back as it is.
        control(FrameType::pong, 0, payload.first(std::min<std::size_t>(payload.size(), 64)));
        return {};
      case FrameType::pong: {
        core::ByteReader from(payload);
        const auto sent = from.get<double>();
        if (from.ok() && sent <= now.count())
          events.emplace_back(event::RoundTrip{Seconds(now.count() - sent)});
        return {};
      }
      case FrameType::go_away: {
        core::ByteReader from(payload);
        peer_gone = true;
        events.emplace_back(event::GoAway{from.get_string(max_error_text)});
        return {};
      }
    }
    return {};  // of a later version: skipped
  }

  Result<void> take_hello(std::span<const std::byte> payload, std::vector<Event>& events) {
    if (hello_in)
      return broken("a second hello");
    core::ByteReader from(payload);
    if (from.get<std::uint32_t>() != protocol_magic || !from.ok())
      return broken("the peer does not speak cleave's protocol");
    const auto oldest = from.get<std::uint16_t>();
    const auto newest = from.get<std::uint16_t>();
    if (from.ok() && oldest > protocol_version) {
      return fail(Errc::version,
                  "the peer speaks protocol version " + std::to_string(oldest) +
                      " and newer, this side " + std::to_string(protocol_version),
                  "connection", "update this side");
    }
    if (from.ok() && newest < 1)
      return fail(Errc::version, "the peer speaks no protocol version", "connection");
    event::Ready ready;
    ready.version = std::min(newest, protocol_version);
    ready.features = from.get<std::uint64_t>() & 0;  // this side has none to agree on yet
    peer.max_body = from.get<std::uint64_t>();
    peer.max_frame = from.get<std::uint32_t>();
    peer.max_in_flight = from.get<std::uint32_t>();
    // More fields may follow in later versions.
    if (!from.ok() || peer.max_frame < max_first_frame)
      return broken("a hello that is cut short");
    ready.peer = peer;
    hello_in = true;
    events.emplace_back(ready);
    return {};
  }

  // Room for a body of `total` bytes; an error to answer with if there is none.
  [[nodiscard]] Result<void> admit(std::uint64_t total) const {
    if (total > limits.max_body)
      return fail(Errc::exhausted, "a body of " + std::to_string(total) +
                                       " bytes, over the limit of " +
                                       std::to_string(limits.max_body));
    if (total > limits.max_incoming - incoming)
      return fail(Errc::exhausted, "too many bytes under way on this connection", {},
                  "try again when other requests are done");
    return {};
  }

  Result<void> take_request(std::uint64_t id, std::span<const std::byte> payload, Seconds now,
                            std::vector<Event>& events) {
    core::ByteReader from(payload);
    Receiving body;
    body.total = from.get<std::uint64_t>();
    body.head.remaining = from_microseconds(from.get<std::uint64_t>());
    body.head.priority = from.get<std::uint8_t>();
    body.head.service = from.get_string(max_name);
    body.head.method = from.get_string(max_name);
    if (!from.ok() || id == 0)
      return broken("a request that cannot be read");
    if (from.rest().size() > body.total)
      return broken("more bytes than the request announced");
    if (unanswered.contains(id))
      return broken("a request's id used again");
    if (draining || unanswered.size() >= limits.max_in_flight) {
      send_error(id, draining ? core::Error{Errc::refused, "shutting down", {}, {}}
                              : core::Error{Errc::refused, "too many requests in flight", {}, {}});
      return {};  // the rest of its body is skipped, being unknown
    }
    if (const auto room = admit(body.total); !room) {
      send_error(id, room.error());
      return {};
    }
    unanswered.emplace(id, body.head.priority);
    incoming += body.total;
    auto& receiving = requests_in[id] = std::move(body);
    receiving.body.reserve(static_cast<std::size_t>(receiving.total));
    receiving.arrival.start(frame_since, frame_at_once);
    append(receiving, from.rest(), now);
    finish_request(id, events);
    return {};
  }

  Result<void> take_response(std::uint64_t id, std::span<const std::byte> payload, Seconds now,
                             std::vector<Event>& events) {
    core::ByteReader from(payload);
    Receiving body;
    body.total = from.get<std::uint64_t>();
    body.times.upload = from_microseconds(from.get<std::uint64_t>());
    body.times.queue = from_microseconds(from.get<std::uint64_t>());
    body.times.handler = from_microseconds(from.get<std::uint64_t>());
    if (!from.ok() || from.rest().size() > body.total)
      return broken("a reply that cannot be read");
    const auto call = calls.find(id);
    if (call == calls.end() || call->second)
      return {};  // cancelled, or answered: skipped
    if (const auto room = admit(body.total); !room) {
      forget_call(id);
      events.emplace_back(event::Failed{id, room.error()});
      return {};
    }
    call->second = true;
    incoming += body.total;
    auto& receiving = replies_in[id] = std::move(body);
    receiving.body.reserve(static_cast<std::size_t>(receiving.total));
    receiving.arrival.start(frame_since, frame_at_once);
    append(receiving, from.rest(), now);
    finish_reply(id, events);
    return {};
  }

  Result<void> take_data(const FrameHeader& header, std::span<const std::byte> payload, Seconds now,
                         std::vector<Event>& events) {
    const bool reply = (header.flags & flag_reply) != 0;
    auto& bodies = reply ? replies_in : requests_in;
    const auto found = bodies.find(header.id);
    if (found == bodies.end())
      return {};  // refused or cancelled while it was under way
    if (payload.size() > found->second.total - found->second.body.size())
      return broken("more bytes than were announced");
    append(found->second, payload, now);
    if (reply)
      finish_reply(header.id, events);
    else
      finish_request(header.id, events);
    return {};
  }

  void append(Receiving& receiving, std::span<const std::byte> bytes, Seconds now) {
    receiving.body.insert(receiving.body.end(), bytes.begin(), bytes.end());
    receiving.arrival.add(bytes.size(), now);
  }

  void finish_request(std::uint64_t id, std::vector<Event>& events) {
    const auto found = requests_in.find(id);
    Receiving& receiving = found->second;
    if (receiving.body.size() < receiving.total)
      return;
    incoming -= receiving.total;
    events.emplace_back(event::Request{id, std::move(receiving.head), std::move(receiving.body),
                                       receiving.arrival.whole()});
    requests_in.erase(found);
  }

  void finish_reply(std::uint64_t id, std::vector<Event>& events) {
    const auto found = replies_in.find(id);
    Receiving& receiving = found->second;
    if (receiving.body.size() < receiving.total)
      return;
    incoming -= receiving.total;
    events.emplace_back(
        event::Response{id, std::move(receiving.body), receiving.times, receiving.arrival.whole()});
    replies_in.erase(found);
    forget_call(id);
  }

  Result<void> take_error(std::uint64_t id, std::span<const std::byte> payload,
                          std::vector<Event>& events) {
    core::ByteReader from(payload);
    const auto code = from.get<std::uint8_t>();
    core::Error error;
    error.what = from.get_string(max_error_text);
    error.where = from.get_string(max_error_text);
    error.hint = from.get_string(max_error_text);
    if (!from.ok())
      return broken("an error that cannot be read");
    // Codes of later versions.
    error.code = code <= static_cast<std::uint8_t>(Errc::internal) ? static_cast<Errc>(code)
                                                                   : Errc::internal;
    if (calls.contains(id)) {
      forget_call(id);
      events.emplace_back(event::Failed{id, std::move(error)});
    }
    return {};
  }

  void take_cancel(std::uint64_t id, std::vector<Event>& events) {
    const auto receiving = requests_in.find(id);
    if (receiving != requests_in.end()) {
      incoming -= receiving->second.total;
      requests_in.erase(receiving);
      unanswered.erase(id);
      return;
    }
    dequeue(id, true);
    if (unanswered.erase(id) > 0)
      events.emplace_back(event::Cancelled{id});
  }

  // The call's own traces: what is still to be sent of it, and what has come of its reply.
  void forget_call(std::uint64_t id) {
    calls.erase(id);
    dequeue(id, false);
    const auto receiving = replies_in.find(id);
    if (receiving != replies_in.end()) {
      incoming -= receiving->second.total;
      replies_in.erase(receiving);
    }
  }

  Limits limits, peer;
  bool hello_in = false, draining = false, peer_gone = false;
  std::deque<std::vector<std::byte>> controls;
  std::map<std::uint8_t, std::deque<Sending>> queues;  // by priority
  std::uint64_t outgoing = 0, incoming = 0;
  std::uint64_t last_call = 0;
  std::unordered_map<std::uint64_t, bool> calls;  // ours; whether the reply has begun
  std::unordered_map<std::uint64_t, Receiving> requests_in, replies_in;
  std::unordered_map<std::uint64_t, std::uint8_t> unanswered;  // the peer's, with their priority
  std::vector<std::byte> partial;                              // a frame that is not whole yet
  Seconds frame_since;            // when the first bytes of the present frame were read,
  std::size_t frame_at_once = 0;  // and how many they were
};

Protocol::Protocol(const Limits& limits) : impl_(std::make_unique<Impl>(limits)) {}
Protocol::~Protocol() = default;

Result<std::uint64_t> Protocol::request(const RequestHead& head, std::vector<std::byte> body) {
  Impl& p = *impl_;
  if (head.service.empty() || head.method.empty() || head.service.size() > max_name ||
      head.method.size() > max_name)
    return fail(Errc::invalid_argument, "names of services and methods have 1 to 64 bytes",
                std::string(std::string_view(head.service).substr(0, max_name)));
  if (p.peer_gone)
    return fail(Errc::unavailable, "the peer takes no new requests");
  if (p.hello_in && body.size() > p.peer.max_body)
    return fail(Errc::exhausted, "a body of " + std::to_string(body.size()) +
                                     " bytes; the peer takes " + std::to_string(p.peer.max_body));
  if (body.size() > p.limits.max_outgoing - p.outgoing)
    return fail(Errc::exhausted, "too many bytes wait to be sent");
  Sending sending;
  sending.id = ++p.last_call;
  sending.priority = head.priority;
  core::ByteWriter to(sending.head);
  to.put(static_cast<std::uint64_t>(body.size()));
  to.put(microseconds(head.remaining));
  to.put(head.priority);
  to.put_string(head.service);
  to.put_string(head.method);
  sending.body = std::make_shared<const std::vector<std::byte>>(std::move(body));
  p.calls.emplace(sending.id, false);
  const std::uint64_t id = sending.id;
  p.enqueue(std::move(sending));
  return id;
}

void Protocol::cancel(std::uint64_t id) {
  if (!impl_->calls.contains(id))
    return;
  impl_->forget_call(id);
  impl_->control(FrameType::cancel, id, {});
}

void Protocol::respond(std::uint64_t id, std::vector<std::byte> body, const ServerTimes& times) {
  Impl& p = *impl_;
  if (!p.unanswered.contains(id))
    return;
  if (body.size() > p.peer.max_body || body.size() > p.limits.max_outgoing - p.outgoing) {
    respond_error(id, {Errc::exhausted,
                       "a reply of " + std::to_string(body.size()) + " bytes is over the limits",
                       {},
                       {}});
    return;
  }
  Sending sending;
  sending.id = id;
  sending.reply = true;
  sending.priority = p.unanswered.at(id);
  core::ByteWriter to(sending.head);
  to.put(static_cast<std::uint64_t>(body.size()));
  to.put(microseconds(times.upload));
  to.put(microseconds(times.queue));
  to.put(microseconds(times.handler));
  sending.body = std::make_shared<const std::vector<std::byte>>(std::move(body));
  p.unanswered.erase(id);
  p.enqueue(std::move(sending));
}

void Protocol::respond_error(std::uint64_t id, const core::Error& error) {
  if (impl_->unanswered.erase(id) > 0)
    impl_->send_error(id, error);
}

void Protocol::ping(Seconds now) {
  std::vector<std::byte> payload;
  core::ByteWriter(payload).put(now.count());
  impl_->control(FrameType::ping, 0, payload);
}

void Protocol::go_away(std::string_view reason) {
  impl_->draining = true;
  std::vector<std::byte> payload;
  core::ByteWriter(payload).put_string(clipped(reason));
  impl_->control(FrameType::go_away, 0, payload);
}

void Protocol::refuse(std::string_view reason) {
  impl_->controls.clear();
  go_away(reason);
}

Result<void> Protocol::receive(std::span<const std::byte> bytes, Seconds now,
                               std::vector<Event>& events) {
  return impl_->receive(bytes, now, events);
}

bool Protocol::next(OutgoingFrame& frame) {
  return impl_->next(frame);
}

bool Protocol::ready() const {
  return impl_->hello_in;
}

std::uint64_t Protocol::outgoing_bytes() const {
  return impl_->outgoing;
}

std::size_t Protocol::unanswered() const {
  return impl_->unanswered.size();
}

}  // namespace cleave::inline v0::transport
