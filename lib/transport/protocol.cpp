#include "lib/transport/frame_parser.hpp"
#include "lib/transport/outbox.hpp"
#include "lib/transport/rate_of_arrival.hpp"

#include <cleave/core/bytes.hpp>
#include <cleave/transport/protocol.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <unordered_map>

namespace cleave::inline v0::transport {
namespace {

using core::Errc;
using core::fail;
using core::Result;
using core::Seconds;
using Bytes = std::vector<std::byte>;

// The bound on a frame as long as the peer's hello is not in; hello itself is smaller.
constexpr std::uint32_t max_first_frame = 4096;
constexpr std::uint32_t least_max_frame = 8192;
constexpr std::size_t max_control_frames = 1024;
constexpr std::size_t piece_size = 256U << 10;
// Of a body that is handed over whole, memory for so much is taken before it has come.
constexpr std::uint64_t most_reserved = std::uint64_t{64} << 20;
constexpr Seconds report_rate_after(0.05);
constexpr std::size_t least_for_rate = 32U << 10;

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

template <class T>
Bytes one(T value) {
  Bytes bytes;
  core::ByteWriter(bytes).put(value);
  return bytes;
}

// A body on its way in.
struct Receiving {
  RequestHead head;   // of a request
  ServerTimes times;  // of a reply
  std::uint64_t bound = 0, total = 0;
  bool streamed = false;
  Bytes body;  // if streamed: the piece that is next
  Seconds since;
  RateOfArrival arrival;
};

}  // namespace

struct Protocol::Impl final : FrameParser::Sink {
  explicit Impl(const Limits& given) : limits(checked(given)), outbox(limits) {
    outstanding = limits.first_credit;
    keep = limits.max_incoming;
    Bytes payload;
    core::ByteWriter to(payload);
    to.put(protocol_magic);
    to.put(protocol_version);  // oldest spoken
    to.put(protocol_version);  // newest spoken
    to.put(feature_rate);
    to.put(limits.max_body);
    to.put(limits.max_frame);
    to.put(limits.max_in_flight);
    to.put(limits.first_credit);
    outbox.control(FrameType::hello, 0, payload);
  }

  static Limits checked(Limits limits) {
    limits.chunk = std::max<std::uint32_t>(limits.chunk, 1024);
    limits.max_frame = std::max(limits.max_frame, least_max_frame);
    limits.max_body = std::min(limits.max_body, limits.max_incoming);
    limits.first_credit = std::min(limits.first_credit, limits.max_incoming);
    return limits;
  }

  void send_error(std::uint64_t id, const core::Error& error) {
    Bytes payload;
    core::ByteWriter to(payload);
    to.put(static_cast<std::uint8_t>(error.code));
    to.put_string(clipped(error.what));
    to.put_string(clipped(error.where));
    to.put_string(clipped(error.hint));
    outbox.control(FrameType::error, id, payload);
  }

  // ---- credit

  // A body that the peer begins.
  Result<void> charge(std::uint64_t bound) {
    if (bound > outstanding)
      return fail(Errc::exhausted,
                  "a body of up to " + std::to_string(bound) + " bytes, with credit for " +
                      std::to_string(outstanding),
                  "connection");
    outstanding -= bound;
    held += bound;
    return {};
  }

  // Bytes that were charged are free again.
  void give(std::uint64_t bytes) {
    held -= bytes;
    const std::uint64_t budget = outstanding + held;
    grant(std::min(bytes, keep > budget ? keep - budget : 0));
  }

  void grant(std::uint64_t bytes) {
    if (bytes == 0)
      return;
    outstanding += bytes;
    outbox.control(FrameType::credit, 0, one(bytes));
  }

  void release(std::uint64_t id) {
    const auto found = bodies_held.find(id);
    if (found == bodies_held.end())
      return;
    const std::uint64_t bytes = found->second;
    bodies_held.erase(found);
    give(bytes);
  }

  // ---- in

  Result<bool> admit(const FrameHeader& header) override {
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
    if (outbox.controls() >= max_control_frames + limits.max_in_flight)
      return fail(Errc::exhausted, "the peer asks and does not read the answers", "connection");
    receiving = false;
    return header.type >= static_cast<std::uint8_t>(FrameType::hello) &&
           header.type <=
               static_cast<std::uint8_t>(FrameType::rate);  // later versions' are skipped
  }

  Result<void> head(const FrameHeader& header, std::span<const std::byte> payload) override {
    switch (static_cast<FrameType>(header.type)) {
      case FrameType::hello:
        return take_hello(payload);
      case FrameType::request:
        return take_request(header.id, payload);
      case FrameType::response:
        return take_response(header.id, payload);
      case FrameType::data:
        select(header.id, (header.flags & flag_reply) != 0);
        return {};
      case FrameType::error:
        return take_error(header.id, payload);
      case FrameType::cancel:
        take_cancel(header.id);
        return {};
      case FrameType::ping:
        // Its payload comes back as it is.
        outbox.control(FrameType::pong, 0,
                       payload.first(std::min<std::size_t>(payload.size(), 64)));
        return {};
      case FrameType::go_away: {
        core::ByteReader from(payload);
        peer_gone = true;
        emit(event::GoAway{from.get_string(max_error_text)});
        return {};
      }
      case FrameType::reclaim:
        outbox.control(FrameType::give_back, 0, one(outbox.take_spare_credit()));
        return {};
      case FrameType::auth: {
        core::ByteReader from(payload);
        std::string token = from.get_string(max_token);
        if (!from.ok())
          return broken("a token that cannot be read");
        emit(event::Auth{std::move(token)});
        return {};
      }
      case FrameType::pong:
      case FrameType::credit:
      case FrameType::want:
      case FrameType::give_back:
      case FrameType::rate:
        return take_number(header, payload);
    }
    return {};
  }

  // The frames that hold a number and nothing else.
  Result<void> take_number(const FrameHeader& header, std::span<const std::byte> payload) {
    core::ByteReader from(payload);
    if (static_cast<FrameType>(header.type) == FrameType::pong) {
      const auto sent = from.get<double>();
      if (from.ok() && sent <= now.count())
        emit(event::RoundTrip{Seconds(now.count() - sent)});
      return {};
    }
    const auto number = from.get<std::uint64_t>();
    if (!from.ok())
      return broken("a frame that is cut short");
    switch (static_cast<FrameType>(header.type)) {
      case FrameType::credit:
        outbox.add_credit(number);
        break;
      case FrameType::want:
        if (number > 0)
          emit(event::Wanted{number});
        break;
      case FrameType::give_back:
        if (number > outstanding)
          return broken("more credit given back than there is");
        outstanding -= number;
        emit(event::Returned{number});
        break;
      default: {
        const core::BytesPerSecond rate(static_cast<double>(number));
        outbox.set_rate(rate);
        emit(event::Rate{rate});
      }
    }
    return {};
  }

  Result<void> take_hello(std::span<const std::byte> payload) {
    if (hello_in)
      return broken("a second hello");
    core::ByteReader from(payload);
    if (from.get<std::uint32_t>() != protocol_magic || !from.ok())
      return broken("the peer does not speak cleave's protocol");
    const auto oldest = from.get<std::uint16_t>();
    const auto newest = from.get<std::uint16_t>();
    if (from.ok() && (oldest > protocol_version || newest < protocol_version))
      return fail(Errc::version,
                  "the peer speaks the protocol's versions " + std::to_string(oldest) + " to " +
                      std::to_string(newest) + ", this side " + std::to_string(protocol_version),
                  "connection",
                  oldest > protocol_version ? "update this side" : "update the other side");
    event::Ready ready;
    ready.version = std::min(newest, protocol_version);
    features = ready.features = from.get<std::uint64_t>() & feature_rate;
    peer.max_body = from.get<std::uint64_t>();
    peer.max_frame = from.get<std::uint32_t>();
    peer.max_in_flight = from.get<std::uint32_t>();
    peer.first_credit = from.get<std::uint64_t>();
    // More fields may follow in later versions.
    if (!from.ok() || peer.max_frame < least_max_frame)
      return broken("a hello that is cut short");
    ready.peer = peer;
    hello_in = true;
    outbox.open(peer);
    emit(ready);
    std::vector<std::uint64_t> too_large;
    for (const auto& [id, call] : calls)
      if (call.bound > peer.max_body)
        too_large.push_back(id);
    for (const std::uint64_t id : too_large) {
      const core::Error error = over_peers_limit(calls.at(id).bound);
      forget_call(id);
      emit(event::Failed{id, error});
    }
    return {};
  }

  [[nodiscard]] core::Error over_peers_limit(std::uint64_t bound) const {
    return {Errc::exhausted,
            "a body of " + std::to_string(bound) + " bytes; the peer takes " +
                std::to_string(peer.max_body),
            {},
            {}};
  }

  Result<void> take_request(std::uint64_t id, std::span<const std::byte> payload) {
    core::ByteReader from(payload);
    Receiving body;
    body.bound = from.get<std::uint64_t>();
    body.head.remaining = from_microseconds(from.get<std::uint64_t>());
    body.head.priority = from.get<std::uint8_t>();
    body.head.service = from.get_string(max_name);
    body.head.method = from.get_string(max_name);
    if (!from.ok() || id == 0)
      return broken("a request that cannot be read");
    if (unanswered.contains(id) || bodies_held.contains(id))
      return broken("a request's id used again");
    if (auto charged = charge(body.bound); !charged)
      return charged;
    std::optional<core::Error> refusal;
    if (draining)
      refusal = core::Error{Errc::refused, "shutting down", {}, {}};
    else if (unanswered.size() >= limits.max_in_flight)
      refusal = core::Error{Errc::refused, "too many requests in flight", {}, {}};
    else if (body.bound > limits.max_body)
      refusal = core::Error{Errc::exhausted,
                            "a body of " + std::to_string(body.bound) +
                                " bytes, over the limit of " + std::to_string(limits.max_body),
                            {},
                            {}};
    if (refusal) {
      send_error(id, *refusal);
      give(body.bound);
      return {};  // its body is skipped, being unknown
    }
    unanswered.emplace(id, body.head.priority);
    bodies_held.emplace(id, body.bound);
    body.streamed = streams && streams(body.head);
    body.since = now;
    if (body.streamed)
      emit(event::Begun{id, body.head, body.bound});
    begin_receiving(requests_in, id, std::move(body));
    select(id, false);
    return {};
  }

  Result<void> take_response(std::uint64_t id, std::span<const std::byte> payload) {
    core::ByteReader from(payload);
    Receiving body;
    body.bound = from.get<std::uint64_t>();
    body.times.upload = from_microseconds(from.get<std::uint64_t>());
    body.times.queue = from_microseconds(from.get<std::uint64_t>());
    body.times.handler = from_microseconds(from.get<std::uint64_t>());
    if (!from.ok())
      return broken("a reply that cannot be read");
    if (auto charged = charge(body.bound); !charged)
      return charged;
    const auto call = calls.find(id);
    if (call == calls.end() || call->second.reply_begun) {
      give(body.bound);
      return {};  // cancelled, or answered: skipped
    }
    if (body.bound > limits.max_body) {
      give(body.bound);
      forget_call(id);
      emit(event::Failed{id,
                         {Errc::exhausted,
                          "a reply of " + std::to_string(body.bound) +
                              " bytes, over the limit of " + std::to_string(limits.max_body),
                          {},
                          {}}});
      return {};
    }
    call->second.reply_begun = true;
    begin_receiving(replies_in, id, std::move(body));
    select(id, true);
    return {};
  }

  using Bodies = std::unordered_map<std::uint64_t, Receiving>;

  void begin_receiving(Bodies& bodies, std::uint64_t id, Receiving body) {
    if (requests_in.empty() && replies_in.empty())
      busy.start(now);
    body.arrival.start(now);
    if (!body.streamed)
      body.body.reserve(static_cast<std::size_t>(std::min(body.bound, most_reserved)));
    bodies[id] = std::move(body);
  }

  // What the bytes of the present frame belong to.
  void select(std::uint64_t id, bool reply) {
    receiving = true;
    receiving_id = id;
    receiving_reply = reply;
  }
  // Looked up each time: it may be cancelled between two reads.
  [[nodiscard]] Receiving* selected() {
    if (!receiving)
      return nullptr;
    Bodies& bodies = receiving_reply ? replies_in : requests_in;
    const auto found = bodies.find(receiving_id);
    return found == bodies.end() ? nullptr : &found->second;
  }

  Result<void> body(std::span<const std::byte> bytes) override {
    Receiving* into = selected();
    if (into == nullptr)
      return {};  // refused or cancelled while it was under way
    into->body.insert(into->body.end(), bytes.begin(), bytes.end());
    return count(*into, bytes.size());
  }

  std::span<std::byte> room(std::size_t most) override {
    Receiving* into = selected();
    room_from = 0;
    if (into == nullptr || into->bound - into->total < most)
      return {};
    if (into->streamed)
      most = std::min(most, piece_size);
    room_from = into->body.size();
    into->body.resize(room_from + most);
    return std::span(into->body).subspan(room_from);
  }

  Result<void> filled(std::size_t bytes) override {
    Receiving* into = selected();
    if (into == nullptr)
      return {};
    into->body.resize(room_from + bytes);
    return count(*into, bytes);
  }

  Result<void> count(Receiving& into, std::size_t bytes) {
    if (bytes > into.bound - into.total)
      return broken("more bytes than were announced");
    into.total += bytes;
    into.arrival.add(bytes, now);
    busy.add(bytes, now);
    if (into.streamed && into.body.size() >= piece_size)
      hand_over(into);
    return {};
  }

  void hand_over(Receiving& from) {
    if (from.body.empty())
      return;
    emit(event::Piece{receiving_id, std::move(from.body)});
    from.body = {};
  }

  Result<void> end(const FrameHeader& header) override {
    Receiving* into = selected();
    receiving = false;
    if (into == nullptr)
      return {};
    if (into->streamed)
      hand_over(*into);
    const bool last = (header.flags & flag_last) != 0;
    if (last && receiving_reply)
      finish_reply(*into);
    else if (last)
      finish_request(*into);
    report_rate();
    return {};
  }

  void finish_request(Receiving& from) {
    // What the bound was too large by is free now, the rest when the handler is done.
    bodies_held[receiving_id] = from.total;
    if (from.total == 0)
      bodies_held.erase(receiving_id);
    give(from.bound - from.total);
    emit(event::Request{receiving_id, std::move(from.head), std::move(from.body),
                        from.arrival.whole(), from.since, from.streamed});
    requests_in.erase(receiving_id);
  }

  void finish_reply(Receiving& from) {
    emit(event::Response{receiving_id, std::move(from.body), from.times, from.arrival.whole()});
    forget_call(receiving_id);
  }

  void report_rate() {
    const bool idle = requests_in.empty() && replies_in.empty();
    const bool enough = busy.bytes() >= least_for_rate;
    if (!idle && (!enough || busy.since_start(now) < report_rate_after))
      return;
    if (const auto rate = busy.rate(); rate && enough && (features & feature_rate) != 0)
      outbox.control(FrameType::rate, 0,
                     one(static_cast<std::uint64_t>(std::min(rate->count(), 1e18))));
    busy.start(now);
  }

  Result<void> take_error(std::uint64_t id, std::span<const std::byte> payload) {
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
      emit(event::Failed{id, std::move(error)});
    }
    return {};
  }

  void take_cancel(std::uint64_t id) {
    const auto coming = requests_in.find(id);
    if (coming != requests_in.end()) {
      const bool streamed = coming->second.streamed;
      requests_in.erase(coming);
      unanswered.erase(id);
      if (streamed)
        emit(event::Cancelled{id});
      else
        release(id);
      return;
    }
    outbox.drop(id, true);
    if (unanswered.erase(id) > 0)
      emit(event::Cancelled{id});
  }

  // The call's own traces: what is still to be sent of it, and what has come of its reply.
  void forget_call(std::uint64_t id) {
    calls.erase(id);
    outbox.drop(id, false);
    const auto coming = replies_in.find(id);
    if (coming != replies_in.end()) {
      const std::uint64_t bound = coming->second.bound;
      replies_in.erase(coming);
      give(bound);
    }
  }

  void emit(Event event) { events->push_back(std::move(event)); }

  // ---- calls

  Result<std::uint64_t> begin(const RequestHead& head, std::uint64_t bound) {
    if (head.service.empty() || head.method.empty() || head.service.size() > max_name ||
        head.method.size() > max_name)
      return fail(Errc::invalid_argument, "names of services and methods have 1 to 64 bytes",
                  std::string(std::string_view(head.service).substr(0, max_name)));
    if (peer_gone)
      return fail(Errc::unavailable, "the peer takes no new requests");
    if (hello_in && bound > peer.max_body)
      return tl::unexpected<core::Error>(over_peers_limit(bound));
    if (!outbox.has_room(bound))
      return fail(Errc::exhausted, "too many bytes wait to be sent");
    const std::uint64_t id = ++last_call;
    Bytes payload;
    core::ByteWriter to(payload);
    to.put(bound);
    to.put(microseconds(head.remaining));
    to.put(head.priority);
    to.put_string(head.service);
    to.put_string(head.method);
    calls.emplace(id, OwnCall{bound});
    outbox.begin(id, false, head.priority, std::move(payload), bound);
    return id;
  }

  struct OwnCall {
    std::uint64_t bound = 0;
    bool reply_begun = false;
  };

  const Limits limits;
  Limits peer;
  std::uint64_t features = 0;
  bool hello_in = false, draining = false, peer_gone = false;
  Outbox outbox;
  FrameParser parser;
  std::function<bool(const RequestHead&)> streams;
  std::uint64_t last_call = 0;
  std::unordered_map<std::uint64_t, OwnCall> calls;
  Bodies requests_in, replies_in;
  std::unordered_map<std::uint64_t, std::uint8_t> unanswered;  // the peer's, with their priority
  // The peer's requests whose bodies are coming in or with a handler, and the bytes they hold.
  std::unordered_map<std::uint64_t, std::uint64_t> bodies_held;
  std::uint64_t outstanding = 0;  // credit that the peer has, or is about to be told of
  std::uint64_t held = 0;         // bounds of bodies that are not let go of
  std::uint64_t keep = 0;
  RateOfArrival busy;  // while any body is coming in
  bool receiving = false, receiving_reply = false;
  std::uint64_t receiving_id = 0;
  std::size_t room_from = 0;
  Seconds now;                           // during receive()
  std::vector<Event>* events = nullptr;  // likewise
};

Protocol::Protocol(const Limits& limits) : impl_(std::make_unique<Impl>(limits)) {}
Protocol::~Protocol() = default;

Result<std::uint64_t> Protocol::request(const RequestHead& head, Bytes body) {
  auto id = impl_->begin(head, body.size());
  if (id) {
    impl_->outbox.append(*id, false, std::move(body));
    impl_->outbox.finish(*id, false);
  }
  return id;
}

Result<std::uint64_t> Protocol::begin_request(const RequestHead& head, std::uint64_t bound) {
  return impl_->begin(head, bound);
}

Result<void> Protocol::append(std::uint64_t id, Bytes piece) {
  const auto call = impl_->calls.find(id);
  if (call == impl_->calls.end() || impl_->outbox.append(id, false, std::move(piece)))
    return {};
  return fail(Errc::exhausted,
              "a body over its bound of " + std::to_string(call->second.bound) + " bytes");
}

void Protocol::finish(std::uint64_t id) {
  impl_->outbox.finish(id, false);
}

void Protocol::cancel(std::uint64_t id) {
  if (!impl_->calls.contains(id))
    return;
  impl_->forget_call(id);
  impl_->outbox.control(FrameType::cancel, id, {});
}

void Protocol::respond(std::uint64_t id, Bytes body, const ServerTimes& times) {
  Impl& p = *impl_;
  if (p.unanswered.contains(id) &&
      (body.size() > p.peer.max_body || !p.outbox.has_room(body.size()))) {
    respond_error(id, {Errc::exhausted,
                       "a reply of " + std::to_string(body.size()) + " bytes is over the limits",
                       {},
                       {}});
    return;
  }
  p.release(id);
  const auto asked = p.unanswered.find(id);
  if (asked == p.unanswered.end())
    return;
  Bytes payload;
  core::ByteWriter to(payload);
  to.put(static_cast<std::uint64_t>(body.size()));
  to.put(microseconds(times.upload));
  to.put(microseconds(times.queue));
  to.put(microseconds(times.handler));
  p.outbox.begin(id, true, asked->second, std::move(payload), body.size());
  p.outbox.append(id, true, std::move(body));
  p.outbox.finish(id, true);
  p.unanswered.erase(asked);
  p.requests_in.erase(id);
}

void Protocol::respond_error(std::uint64_t id, const core::Error& error) {
  impl_->release(id);
  impl_->requests_in.erase(id);  // what still comes of its body is skipped
  if (impl_->unanswered.erase(id) > 0)
    impl_->send_error(id, error);
}

void Protocol::release(std::uint64_t id) {
  impl_->release(id);
}

void Protocol::stream(std::function<bool(const RequestHead&)> which) {
  impl_->streams = std::move(which);
}

void Protocol::grant(std::uint64_t bytes) {
  impl_->grant(bytes);
}

void Protocol::keep_at_most(std::uint64_t bytes) {
  Impl& p = *impl_;
  p.keep = std::min(bytes, p.limits.max_incoming);
  if (incoming_budget() > p.keep && p.outstanding > p.limits.first_credit && p.hello_in)
    p.outbox.control(FrameType::reclaim, 0, {});
}

std::uint64_t Protocol::incoming_budget() const {
  return impl_->outstanding + impl_->held;
}

void Protocol::authenticate(std::string_view token) {
  Bytes payload;
  core::ByteWriter(payload).put_string(token.substr(0, max_token));
  impl_->outbox.control(FrameType::auth, 0, payload);
}

void Protocol::ping(Seconds now) {
  impl_->outbox.control(FrameType::ping, 0, one(now.count()));
}

void Protocol::go_away(std::string_view reason) {
  impl_->draining = true;
  Bytes payload;
  core::ByteWriter(payload).put_string(clipped(reason));
  impl_->outbox.control(FrameType::go_away, 0, payload);
}

void Protocol::refuse(std::string_view reason) {
  impl_->outbox.clear_controls();
  go_away(reason);
}

Result<void> Protocol::receive(std::span<const std::byte> bytes, Seconds now,
                               std::vector<Event>& events) {
  impl_->now = now;
  impl_->events = &events;
  return impl_->parser.receive(bytes, *impl_);
}

std::span<std::byte> Protocol::room(std::size_t most) {
  return impl_->parser.room(most, *impl_);
}

Result<void> Protocol::direct(std::size_t count, Seconds now, std::vector<Event>& events) {
  impl_->now = now;
  impl_->events = &events;
  return impl_->parser.direct(count, *impl_);
}

bool Protocol::next(OutgoingFrame& frame) {
  return impl_->outbox.next(frame);
}

bool Protocol::ready() const {
  return impl_->hello_in;
}

bool Protocol::receiving() const {
  return !impl_->parser.between_frames() || !impl_->requests_in.empty() ||
         !impl_->replies_in.empty();
}

std::size_t Protocol::chunk() const {
  return impl_->outbox.chunk();
}

std::uint64_t Protocol::outgoing_bytes() const {
  return impl_->outbox.bytes();
}

std::size_t Protocol::unanswered() const {
  return impl_->unanswered.size();
}

}  // namespace cleave::inline v0::transport
