#include "lib/transport/frame_heads.hpp"
#include "lib/transport/frame_parser.hpp"
#include "lib/transport/inbox.hpp"
#include "lib/transport/incoming_credit.hpp"
#include "lib/transport/outbox.hpp"

#include <cleave/core/bytes.hpp>
#include <cleave/transport/protocol.hpp>

#include <algorithm>
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
constexpr std::uint64_t least_credit_told = 4096;

tl::unexpected<core::Error> broken(std::string what) {
  return fail(Errc::corrupt, std::move(what), "connection",
              "the peer is no cleave, or something between damages bytes");
}

std::string_view clipped(std::string_view text) {
  return text.substr(0, max_error_text);
}

// As a ByteWriter writes it.
template <class T>
Bytes one(T value) {
  Bytes bytes(sizeof value);
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

}  // namespace

struct Protocol::Impl final : FrameParser::Sink {
  explicit Impl(const Limits& given) : limits(checked(given)), outbox(limits), credit(limits) {
    HelloHead hello;
    hello.features = feature_rate;
    hello.limits = limits;
    Bytes payload;
    put_head(payload, hello);
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
    put_head(payload, error);
    outbox.control(FrameType::error, id, payload);
  }

  // ---- credit

  // A body that the peer begins.
  Result<void> charge(std::uint64_t bound) {
    if (credit.charge(bound))
      return {};
    return fail(Errc::exhausted,
                "a body of up to " + std::to_string(bound) + " bytes, with credit for " +
                    std::to_string(credit.outstanding()),
                "connection");
  }

  void give(std::uint64_t bytes) {
    credit.give(bytes);
    if (credit.due())
      tell_credit();
  }

  void tell_credit() {
    if (credit.untold() > 0)
      outbox.control(FrameType::credit, 0, one(credit.take_untold()));
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
    inbox.select_none();
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
        inbox.select(header.id, (header.flags & flag_reply) != 0);
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
        if (const std::uint64_t more = credit.want(number); more > 0)
          emit(event::Wanted{more});
        tell_credit();
        break;
      case FrameType::give_back:
        if (!credit.take_back(number))
          return broken("more credit given back than there is");
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
    const auto hello = read_hello(payload);
    if (!hello)
      return fail(hello);
    peer = hello->limits;
    if (peer.max_frame < least_max_frame)
      return broken("a hello with frames of " + std::to_string(peer.max_frame) + " bytes");
    event::Ready ready;
    ready.version = std::min(hello->newest, protocol_version);
    features = ready.features = hello->features & feature_rate;
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
    auto head = read_request(payload);
    if (!head || id == 0)
      return broken("a request that cannot be read");
    Inbox::Body body;
    body.bound = head->bound;
    body.head = std::move(head->request);
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
    body.streamed = streams && streams(body.head, body.bound);
    body.since = now;
    if (body.streamed)
      emit(event::Begun{id, body.head, body.bound});
    inbox.begin(id, false, std::move(body), now);
    return {};
  }

  Result<void> take_response(std::uint64_t id, std::span<const std::byte> payload) {
    const auto head = read_reply(payload);
    if (!head)
      return broken("a reply that cannot be read");
    Inbox::Body body;
    body.bound = head->bound;
    body.times = head->times;
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
    inbox.begin(id, true, std::move(body), now);
    return {};
  }

  Result<void> body(std::span<const std::byte> bytes) override {
    return hand_over(inbox.add(bytes, now), false);
  }

  std::span<std::byte> room(std::size_t most) override { return inbox.room(most); }

  Result<void> filled(std::size_t bytes) override {
    return hand_over(inbox.filled(bytes, now), false);
  }

  Result<void> hand_over(Result<void> done, bool end_of_frame) {
    if (done)
      if (auto piece = inbox.take_piece(end_of_frame))
        emit(std::move(*piece));
    return done;
  }

  Result<void> end(const FrameHeader& header) override {
    (void)hand_over({}, true);
    if ((header.flags & flag_last) != 0)
      if (auto whole = inbox.take_whole())
        finish(std::move(*whole));
    inbox.select_none();
    if (const auto rate = inbox.take_rate(now); rate && (features & feature_rate) != 0)
      outbox.control(FrameType::rate, 0,
                     one(static_cast<std::uint64_t>(std::min(rate->count(), 1e18))));
    return {};
  }

  void finish(Inbox::Whole whole) {
    Inbox::Body& body = whole.body;
    if (whole.reply) {
      emit(event::Response{whole.id, std::move(body.bytes), body.times, body.arrival.whole()});
      forget_call(whole.id);
      give(body.bound);
      return;
    }
    // What the bound was too large by is free now, the rest when the handler is done.
    bodies_held[whole.id] = body.total;
    if (body.total == 0)
      bodies_held.erase(whole.id);
    give(body.bound - body.total);
    emit(event::Request{whole.id, std::move(body.head), std::move(body.bytes), body.arrival.whole(),
                        body.since, body.streamed});
  }

  Result<void> take_error(std::uint64_t id, std::span<const std::byte> payload) {
    auto error = read_error(payload);
    if (!error)
      return broken("an error that cannot be read");
    if (calls.contains(id)) {
      forget_call(id);
      emit(event::Failed{id, std::move(*error)});
    }
    return {};
  }

  void take_cancel(std::uint64_t id) {
    if (const Inbox::Body* coming = inbox.find(id, false)) {
      const bool streamed = coming->streamed;
      inbox.drop(id, false);
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
    if (const Inbox::Body* coming = inbox.find(id, true)) {
      const std::uint64_t bound = coming->bound;
      inbox.drop(id, true);
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
    Bytes first = Outbox::begin_head();
    put_head(first, bound, head);
    calls.emplace(id, OwnCall{bound});
    outbox.begin(id, false, head.priority, std::move(first), bound);
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
  Inbox inbox;
  IncomingCredit credit;
  FrameParser parser;
  std::function<bool(const RequestHead&, std::uint64_t bound)> streams;
  std::uint64_t last_call = 0;
  std::unordered_map<std::uint64_t, OwnCall> calls;
  std::unordered_map<std::uint64_t, std::uint8_t> unanswered;  // the peer's, with their priority
  // The peer's requests whose bodies are coming in or with a handler, and the bytes they hold.
  std::unordered_map<std::uint64_t, std::uint64_t> bodies_held;
  Seconds now;                           // during receive()
  std::vector<Event>* events = nullptr;  // likewise
};

Protocol::Protocol(const Limits& limits) : impl_(std::make_unique<Impl>(limits)) {}
Protocol::~Protocol() = default;

Result<std::uint64_t> Protocol::request(const RequestHead& head, SharedBytes body) {
  auto id = impl_->begin(head, body.bytes.size());
  if (id) {
    impl_->outbox.append(*id, false, std::move(body));
    impl_->outbox.finish(*id, false);
  }
  return id;
}

Result<std::uint64_t> Protocol::begin_request(const RequestHead& head, std::uint64_t bound) {
  return impl_->begin(head, bound);
}

Result<void> Protocol::append(std::uint64_t id, SharedBytes piece) {
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
  Bytes first = Outbox::begin_head();
  put_head(first, body.size(), times);
  p.outbox.begin(id, true, asked->second, std::move(first), body.size());
  p.outbox.append(id, true, std::move(body));
  p.outbox.finish(id, true);
  p.unanswered.erase(asked);
  p.inbox.drop(id, false);
}

void Protocol::respond_error(std::uint64_t id, const core::Error& error) {
  impl_->release(id);
  impl_->inbox.drop(id, false);  // what still comes of its body is skipped
  if (impl_->unanswered.erase(id) > 0)
    impl_->send_error(id, error);
}

void Protocol::release(std::uint64_t id) {
  impl_->release(id);
}

void Protocol::stream(std::function<bool(const RequestHead&, std::uint64_t bound)> which) {
  impl_->streams = std::move(which);
}

void Protocol::make_bodies_with(std::function<Bytes(std::size_t)> make) {
  impl_->inbox.make_with(std::move(make));
}

void Protocol::grant(std::uint64_t bytes) {
  impl_->credit.grant(bytes);
  impl_->tell_credit();
}

void Protocol::keep_at_most(std::uint64_t bytes) {
  if (impl_->credit.keep_at_most(bytes) && impl_->hello_in)
    impl_->outbox.control(FrameType::reclaim, 0, {});
}

std::uint64_t Protocol::incoming_budget() const {
  return impl_->credit.budget();
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

bool Protocol::in_body() const {
  return impl_->parser.in_body();
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
  if (!impl_->outbox.next(frame))
    return false;
  if (impl_->credit.untold() >= least_credit_told)
    impl_->tell_credit();  // behind it, and so in the same write
  return true;
}

bool Protocol::ready() const {
  return impl_->hello_in;
}

bool Protocol::receiving() const {
  return !impl_->parser.between_frames() || !impl_->inbox.empty();
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
