#include "lib/transport/credit_pool.hpp"
#include "tests/support/protocol_pair.hpp"

#include <array>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <random>

namespace {

using namespace cleave;
using core::Errc;
using core::Seconds;
using test::all;
using test::body_of;
using test::Bytes;
using test::feed;
using test::introduce;
using test::only;
using test::output;
using transport::CreditPool;
using transport::Event;
using transport::FrameHeader;
using transport::FrameType;
using transport::Limits;
using transport::Protocol;
namespace event = transport::event;

Limits with_credit(std::uint64_t first, std::uint64_t most) {
  Limits limits;
  limits.first_credit = first;
  limits.max_incoming = most;
  limits.max_body = most;
  limits.chunk = 1024;
  return limits;
}

Bytes number_frame(FrameType type, std::uint64_t number) {
  FrameHeader header{8, static_cast<std::uint8_t>(type), 0, 0, 0};
  Bytes bytes(sizeof header + 8);
  std::memcpy(bytes.data(), &header, sizeof header);
  std::memcpy(bytes.data() + sizeof header, &number, 8);
  return bytes;
}

TEST(Credit, ABodyWaitsForItAndAsksForWhatIsMissing) {
  Protocol a(Limits{}), b(with_credit(1000, 5000));
  introduce(a, b);
  ASSERT_TRUE(a.request({"s", "small", 1, {}}, body_of(600)));
  ASSERT_TRUE(a.request({"s", "large", 1, {}}, body_of(3000)));
  ASSERT_TRUE(a.request({"s", "last", 1, {}}, body_of(100)));
  ASSERT_TRUE(a.request({"s", "empty", 1, {}}, {}));
  ASSERT_TRUE(a.request({"s", "urgent", 9, {}}, body_of(50)));
  auto events = feed(b, output(a));
  // "last" would take the credit that "large" waits for; "empty" takes none.
  auto requests = all<event::Request>(events);
  ASSERT_EQ(requests.size(), 3U);
  EXPECT_EQ(requests[0].head.method, "urgent");
  EXPECT_EQ(requests[1].head.method, "empty");
  EXPECT_EQ(requests[2].head.method, "small");
  const auto wanted = all<event::Wanted>(events);
  ASSERT_EQ(wanted.size(), 1U);
  EXPECT_EQ(wanted[0].bytes, 3000U - (1000U - 650U));
  EXPECT_TRUE(output(a).empty());
  EXPECT_EQ(b.incoming_budget(), 1000U);

  b.grant(wanted[0].bytes);
  feed(a, output(b));
  events = feed(b, output(a));
  requests = all<event::Request>(events);
  ASSERT_EQ(requests.size(), 1U);
  EXPECT_EQ(requests[0].body, body_of(3000));
  // An answer gives the credit back, and "last" may go.
  b.respond(requests[0].id, {}, {});
  feed(a, output(b));
  events = feed(b, output(a));
  ASSERT_EQ(all<event::Request>(events).size(), 1U);
  EXPECT_EQ(b.incoming_budget(), 1000U + wanted[0].bytes);
}

TEST(Credit, AnUrgentBodyTakesWhatALessUrgentOneHasAndDoesNotUseYet) {
  Protocol a(Limits{}), b(with_credit(1000, 5000));
  introduce(a, b);
  ASSERT_TRUE(a.request({"s", "first", 1, {}}, body_of(400)));
  ASSERT_TRUE(a.request({"s", "second", 1, {}}, body_of(500)));
  EXPECT_EQ(only<event::Request>(feed(b, output(a, 1))).head.method, "first");
  ASSERT_TRUE(a.request({"s", "urgent", 9, {}}, body_of(550)));
  auto events = feed(b, output(a));
  const auto requests = all<event::Request>(events);
  ASSERT_EQ(requests.size(), 1U);
  EXPECT_EQ(requests[0].head.method, "urgent");
  const auto wanted = all<event::Wanted>(events);
  ASSERT_EQ(wanted.size(), 1U);
  EXPECT_EQ(wanted[0].bytes, 500U - (1000U - 950U));
  b.grant(450);
  feed(a, output(b));
  EXPECT_EQ(only<event::Request>(feed(b, output(a))).head.method, "second");
}

TEST(Credit, ALittleIsToldWithTheNextFrameOrWhenAskedFor) {
  Protocol a(Limits{}), b(with_credit(1000, 1000));
  introduce(a, b);
  const auto id = a.request({"s", "m", 1, {}}, body_of(100));
  feed(b, output(a));
  b.release(*id);
  EXPECT_TRUE(output(b).empty());  // no packet for 100 bytes
  // Who needs it asks, and nobody has to grant anything.
  ASSERT_TRUE(a.request({"s", "all", 1, {}}, body_of(1000)));
  EXPECT_TRUE(feed(b, output(a)).empty());
  feed(a, output(b));
  const auto all_of_it = only<event::Request>(feed(b, output(a)));
  EXPECT_EQ(all_of_it.body.size(), 1000U);
  b.release(all_of_it.id);
  EXPECT_FALSE(output(b).empty());  // much
}

TEST(Credit, WhatIsKeptIsABoundOnWhatIsGrantedAnew) {
  Protocol a(Limits{}), b(with_credit(1000, 5000));
  introduce(a, b);
  b.grant(4000);
  feed(a, output(b));
  const auto id = a.request({"s", "m", 1, {}}, body_of(4500));
  feed(b, output(a));
  EXPECT_EQ(b.incoming_budget(), 5000U);
  b.keep_at_most(1000);  // asks for what is not needed
  feed(a, output(b));
  feed(b, output(a));
  EXPECT_EQ(b.incoming_budget(), 5000U);  // 500 are below the first credit
  b.respond(*id, {}, {});
  EXPECT_EQ(b.incoming_budget(), 1000U);
  b.keep_at_most(5000);
  b.grant(4000);
  feed(a, output(b));
  b.keep_at_most(2000);
  feed(a, output(b));
  feed(b, output(a));
  EXPECT_EQ(b.incoming_budget(), 1000U);  // all beyond the first credit came back
}

TEST(Credit, APeerThatTakesWhatItDoesNotHaveIsCutOff) {
  const auto code = [](const std::function<Bytes(Protocol&)>& hostile) {
    Protocol rich(Limits{}), b(with_credit(1000, 5000));
    introduce(rich, b);
    std::vector<Event> events;
    const auto done = b.receive(hostile(rich), Seconds(1), events);
    return done ? Errc::internal : done.error().code;
  };
  EXPECT_EQ(code([](Protocol& a) {
              std::vector<Event> events;  // grants itself
              (void)a.receive(number_frame(FrameType::credit, ~std::uint64_t{0}), Seconds(1),
                              events);
              EXPECT_TRUE(a.request({"s", "m", 1, {}}, body_of(1001)));
              return output(a);
            }),
            Errc::exhausted);
  EXPECT_EQ(code([](Protocol&) { return number_frame(FrameType::give_back, 1001); }),
            Errc::corrupt);
  EXPECT_EQ(code([](Protocol& a) {
              EXPECT_TRUE(a.begin_request({"s", "m", 1, {}}, 10));
              Bytes bytes = output(a);
              FrameHeader more{11, static_cast<std::uint8_t>(FrameType::data), 0, 0, 1};
              const std::size_t at = bytes.size();
              bytes.resize(at + sizeof more + 11);
              std::memcpy(bytes.data() + at, &more, sizeof more);
              return bytes;
            }),
            Errc::corrupt);
}

TEST(Credit, ABodyIsMadeWhileItIsSentAndTakenWhileItArrives) {
  for (const bool by_pieces : {false, true}) {
    Protocol a(Limits{}), b(Limits{});
    b.stream([&](const transport::RequestHead& head, std::uint64_t bound) {
      EXPECT_EQ(head.method, "m");
      EXPECT_EQ(bound, 100000U);
      return by_pieces;
    });
    introduce(a, b);
    const auto id = a.begin_request({"s", "m", 1, {}}, 100000);
    ASSERT_TRUE(id);
    Bytes got;
    bool begun = false;
    const auto take = [&] {
      auto events = feed(b, output(a), 777);
      for (const auto& piece : all<event::Piece>(events))
        got.insert(got.end(), piece.bytes.begin(), piece.bytes.end());
      for (const auto& e : all<event::Begun>(events)) {
        begun = true;
        EXPECT_EQ(e.bound, 100000U);
      }
      return all<event::Request>(events);
    };
    EXPECT_TRUE(take().empty());
    EXPECT_EQ(begun, by_pieces);
    const Bytes whole = body_of(70000);
    for (std::size_t at = 0; at < whole.size(); at += 20000) {
      const std::size_t end = std::min(whole.size(), at + 20000);
      ASSERT_TRUE(a.append(*id, Bytes(whole.begin() + static_cast<std::ptrdiff_t>(at),
                                      whole.begin() + static_cast<std::ptrdiff_t>(end))));
      EXPECT_TRUE(take().empty());
      if (by_pieces) {
        EXPECT_EQ(got.size(), end);
      }
    }
    EXPECT_EQ(a.append(*id, Bytes(40000)).error().code, Errc::exhausted);
    a.finish(*id);
    const auto requests = take();
    ASSERT_EQ(requests.size(), 1U);
    EXPECT_EQ(requests[0].streamed, by_pieces);
    EXPECT_EQ(by_pieces ? got : requests[0].body, whole);
    // What the bound was too large by is free already.
    EXPECT_EQ(b.incoming_budget(), Limits{}.first_credit);
    b.respond(*id, {}, {});
    EXPECT_EQ(b.incoming_budget(), Limits{}.first_credit);
  }
}

TEST(Credit, ChunksFollowTheRateThatTheReceiverSees) {
  Limits large;
  large.first_credit = 100 << 20;
  Protocol a(large), b(large);
  introduce(a, b);
  double now = 1;
  for (const double rate : {2.5e6, 1e4, 1e9}) {  // bytes a second
    for (int i = 0; i < 40; ++i) {
      ASSERT_TRUE(a.request({"s", "m", 1, {}}, body_of(rate > 1e8 ? 8 << 20 : 200000)));
      transport::OutgoingFrame frame;
      while (a.next(frame)) {
        now += static_cast<double>(frame.head.size() + frame.body.size()) / rate;
        auto events = feed(b, frame.head, 0, Seconds(now));
        auto more = feed(b, frame.body, 0, Seconds(now));
        for (auto& request : all<event::Request>(more)) b.respond(request.id, {}, {});
        feed(a, output(b), 0, Seconds(now));
      }
      now += 1;
    }
    const double expected = std::clamp(rate * Limits{}.chunk_time, 4096.0, (1 << 20) - 4096.0);
    EXPECT_NEAR(static_cast<double>(a.chunk()), expected, 0.2 * expected) << rate;
  }
}

// Two sides that do everything at random. Every call ends once, every body arrives as it was sent,
// and in the end all credit is where it can be used.
class Chance {
 public:
  explicit Chance(std::uint64_t seed) : random_(seed) {
    for (Side& side : sides_)
      side.protocol.stream(
          [](const transport::RequestHead& head, std::uint64_t) { return head.method == "p"; });
    introduce(sides_[0].protocol, sides_[1].protocol);
  }

  void run() {
    for (int i = 0; i < 500; ++i) step();
    for (int i = 0; i < 1000 && !quiet(); ++i) {
      for (Side& side : sides_) {
        while (!side.open.empty()) finish(side, side.open.begin()->first);
        while (!side.to_answer.empty()) answer(side);
      }
      carry(0, ~std::size_t{0});
      carry(1, ~std::size_t{0});
    }
    ASSERT_TRUE(quiet());
    for (int i = 0; i < 3; ++i) {
      carry(0, ~std::size_t{0});  // the last of the credit
      carry(1, ~std::size_t{0});
    }
    for (const std::size_t s : {0U, 1U}) {
      Protocol& here = sides_[s].protocol;
      Protocol& other = sides_[1 - s].protocol;
      EXPECT_EQ(here.outgoing_bytes(), 0U);
      EXPECT_EQ(here.unanswered(), 0U);
      EXPECT_LE(here.incoming_budget(), limits_.max_incoming);
      ASSERT_TRUE(other.request({"s", "m", 1, {}}, body_of(here.incoming_budget())));
      auto events = feed(here, output(other));
      EXPECT_TRUE(all<event::Wanted>(events).empty());
      if (all<event::Request>(events).empty()) {
        // A little was not worth telling before it was asked for.
        feed(other, output(here));
        events = feed(here, output(other));
      }
      EXPECT_EQ(all<event::Request>(events).size(), 1U);
    }
  }

 private:
  struct Side {
    explicit Side(const Limits& limits) : protocol(limits) {}
    Protocol protocol;
    std::map<std::uint64_t, std::size_t> calls;  // own ones, with the bytes of the body so far
    std::map<std::uint64_t, std::size_t> open;   // those still written, with what may follow
    std::map<std::uint64_t, Bytes> pieces;       // the peer's
    std::vector<std::uint64_t> to_answer;
  };

  std::size_t up_to(std::size_t most) { return random_() % (most + 1); }
  std::size_t some_size() { return up_to(9) == 0 ? up_to(20000) : up_to(3000); }
  [[nodiscard]] bool quiet() const {
    return std::all_of(sides_.begin(), sides_.end(), [](const Side& side) {
      return side.calls.empty() && side.to_answer.empty();
    });
  }

  void step() {
    const std::size_t s = up_to(1);
    Side& side = sides_[s];
    switch (up_to(9)) {
      case 0:
      case 1: {
        const std::size_t size = some_size();
        const auto id = ++side_last_[s];
        ASSERT_EQ(*side.protocol.request({"s", up_to(1) == 0 ? "p" : "m",
                                          static_cast<std::uint8_t>(up_to(3)), Seconds(0)},
                                         body_of(size, static_cast<int>(id))),
                  id);
        side.calls[id] = size;
        return;
      }
      case 2: {
        const std::size_t bound = some_size();
        const auto id = ++side_last_[s];
        ASSERT_EQ(*side.protocol.begin_request({"s", up_to(1) == 0 ? "p" : "m",
                                                static_cast<std::uint8_t>(up_to(3)), Seconds(0)},
                                               bound),
                  id);
        side.calls[id] = 0;
        side.open[id] = bound;
        return;
      }
      case 3:
      case 4:
        if (!side.open.empty()) {
          const auto [id, left] = *std::next(
              side.open.begin(), static_cast<std::ptrdiff_t>(up_to(side.open.size() - 1)));
          if (up_to(4) == 0)
            finish(side, id);
          else
            append(side, id, up_to(left));
        }
        return;
      case 5:
        if (!side.calls.empty() && up_to(3) == 0) {
          const auto id = std::next(side.calls.begin(),
                                    static_cast<std::ptrdiff_t>(up_to(side.calls.size() - 1)))
                              ->first;
          side.protocol.cancel(id);
          side.calls.erase(id);
          side.open.erase(id);
        }
        return;
      case 6:
        if (!side.to_answer.empty())
          answer(side);
        return;
      default:
        carry(s, up_to(12));
    }
  }

  void append(Side& side, std::uint64_t id, std::size_t count) {
    // A stretch of the body that the whole would be.
    const Bytes whole = body_of(side.calls[id] + count, static_cast<int>(id));
    ASSERT_TRUE(side.protocol.append(
        id, Bytes(whole.begin() + static_cast<std::ptrdiff_t>(side.calls[id]), whole.end())));
    side.calls[id] += count;
    side.open[id] -= count;
  }

  void finish(Side& side, std::uint64_t id) {
    side.protocol.finish(id);
    side.open.erase(id);
  }

  void answer(Side& side) {
    const std::size_t which = up_to(side.to_answer.size() - 1);
    const std::uint64_t id = side.to_answer[which];
    side.to_answer.erase(side.to_answer.begin() + static_cast<std::ptrdiff_t>(which));
    if (up_to(4) == 0)
      side.protocol.respond_error(id, {Errc::internal, "no", {}, {}});
    else
      side.protocol.respond(id, body_of(some_size(), static_cast<int>(id) + 1000), {});
  }

  // Some frames from one side to the other, in pieces of any size.
  void carry(std::size_t from, std::size_t frames) {
    Side& side = sides_[1 - from];
    auto events = feed(side.protocol, output(sides_[from].protocol, frames), up_to(700) + 1);
    for (Event& e : events) {
      if (const auto* wanted = std::get_if<event::Wanted>(&e)) {
        side.protocol.grant(
            std::min(wanted->bytes, limits_.max_incoming - side.protocol.incoming_budget()));
      } else if (const auto* piece = std::get_if<event::Piece>(&e)) {
        Bytes& got = side.pieces[piece->id];
        got.insert(got.end(), piece->bytes.begin(), piece->bytes.end());
      } else if (const auto* request = std::get_if<event::Request>(&e)) {
        const Bytes& got = request->streamed ? side.pieces[request->id] : request->body;
        // It may be cancelled by now, but is none the less what was sent.
        EXPECT_EQ(got, body_of(got.size(), static_cast<int>(request->id)));
        const auto call = sides_[from].calls.find(request->id);
        if (call != sides_[from].calls.end()) {
          EXPECT_EQ(got.size(), call->second);
        }
        side.to_answer.push_back(request->id);
      } else if (const auto* cancelled = std::get_if<event::Cancelled>(&e)) {
        std::erase(side.to_answer, cancelled->id);
        side.protocol.release(cancelled->id);
      } else if (const auto* response = std::get_if<event::Response>(&e)) {
        EXPECT_EQ(side.calls.erase(response->id), 1U);
        side.open.erase(response->id);
        EXPECT_EQ(response->body,
                  body_of(response->body.size(), static_cast<int>(response->id) + 1000));
      } else if (const auto* failed = std::get_if<event::Failed>(&e)) {
        EXPECT_EQ(side.calls.erase(failed->id), 1U);
        side.open.erase(failed->id);
      }
    }
    EXPECT_LE(side.protocol.incoming_budget(), limits_.max_incoming);
  }

  std::mt19937_64 random_;
  const Limits limits_ = with_credit(2000, 20000);
  std::array<Side, 2> sides_{Side(limits_), Side(limits_)};
  std::array<std::uint64_t, 2> side_last_{};
};

TEST(Credit, NothingIsLostWhateverHappensInWhateverOrder) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(seed);
    Chance(seed).run();
    if (HasFatalFailure() || HasNonfatalFailure())
      return;
  }
}

// As a server does with what it hears.
void heard(CreditPool& pool, Protocol& server, const std::vector<Event>& events) {
  for (const Event& e : events) {
    if (const auto* wanted = std::get_if<event::Wanted>(&e))
      pool.want(server, wanted->bytes);
    else if (std::get_if<event::Returned>(&e) != nullptr)
      pool.returned(server);
  }
  pool.changed(server);
}

TEST(CreditPool, ServesEveryoneInTurnAndNeverGivesMoreThanThereIs) {
  const Limits limits = with_credit(1000, 30000);
  constexpr std::uint64_t total = 40000;
  std::mt19937_64 random(7);
  constexpr std::size_t count = 8;
  CreditPool pool(total, limits.max_incoming, limits.first_credit, [](Protocol&) {});
  std::vector<std::unique_ptr<Protocol>> clients, servers;
  for (std::size_t i = 0; i < count; ++i) {
    clients.push_back(std::make_unique<Protocol>(Limits{}));
    servers.push_back(std::make_unique<Protocol>(limits));
    introduce(*clients[i], *servers[i]);
    pool.join(*servers[i]);
  }
  EXPECT_EQ(pool.used(), count * limits.first_credit);
  std::size_t sent = 0, served = 0;
  std::vector<std::pair<std::size_t, std::uint64_t>> working;
  for (int round = 0; round < 20000 && (sent < 400 || served < sent); ++round) {
    const std::size_t i = random() % count;
    if (sent < 400 && random() % 4 == 0) {
      ASSERT_TRUE(clients[i]->request({"s", "m", 1, {}}, body_of(random() % 30000)));
      ++sent;
    }
    auto events = feed(*servers[i], output(*clients[i]));
    for (const auto& request : all<event::Request>(events)) working.emplace_back(i, request.id);
    heard(pool, *servers[i], events);
    if (!working.empty() && random() % 2 == 0) {
      const auto [server, id] = working.front();
      working.erase(working.begin());
      servers[server]->respond(id, {}, {});
      pool.changed(*servers[server]);
      ++served;
    }
    feed(*clients[i], output(*servers[i]));
    EXPECT_LE(pool.used(), total);
    std::uint64_t sum = 0;
    for (const auto& server : servers) sum += server->incoming_budget();
    EXPECT_EQ(sum, pool.used());
  }
  EXPECT_EQ(served, 400U);
  // Whoever leaves gives back what it had.
  for (const auto& server : servers) pool.leave(*server);
  EXPECT_EQ(pool.used(), 0U);
}

TEST(CreditPool, WhoHoldsWhatOthersNeedIsAskedForIt) {
  const Limits limits = with_credit(1000, 30000);
  CreditPool pool(31000, 30000, 1000, [](Protocol&) {});
  Protocol a(Limits{}), b(Limits{}), at_a(limits), at_b(limits);
  introduce(a, at_a);
  introduce(b, at_b);
  pool.join(at_a);
  pool.join(at_b);
  const auto exchange = [&](Protocol& client, Protocol& server) {
    auto events = feed(server, output(client));
    heard(pool, server, events);
    for (const auto& request : all<event::Request>(events)) server.respond(request.id, {}, {});
    pool.changed(server);
    feed(client, output(server));
    return events.size();
  };
  ASSERT_TRUE(a.request({"s", "m", 1, {}}, body_of(30000)));
  for (int i = 0; i < 3; ++i) exchange(a, at_a);
  EXPECT_EQ(at_a.incoming_budget(), 30000U);  // its body is done; the credit is still there
  ASSERT_TRUE(b.request({"s", "m", 1, {}}, body_of(30000)));
  exchange(b, at_b);
  EXPECT_TRUE(pool.scarce());
  for (int i = 0; i < 3; ++i) {
    feed(a, output(at_a));
    exchange(a, at_a);
    feed(b, output(at_b));
    exchange(b, at_b);
  }
  EXPECT_FALSE(pool.scarce());
  EXPECT_EQ(at_a.incoming_budget(), 1000U);
  EXPECT_EQ(at_b.incoming_budget(), 30000U);
}

}  // namespace
