// Requests whose bodies are made, sent, taken and decoded piece by piece.
#include "tests/support/fake_cloud.hpp"
#include "tests/support/fake_executable.hpp"
#include "tests/support/split_at.hpp"

#include <cleave/device/governor.hpp>
#include <cleave/exec/executor.hpp>
#include <cleave/exec/infer_service.hpp>
#include <cleave/transport/codec.hpp>

#include <gtest/gtest.h>

#include <future>
#include <random>

namespace cleave::tests {
namespace {

using core::Errc;
using core::milliseconds;
using core::Seconds;
using Bytes = std::vector<std::byte>;

constexpr std::int64_t five_pieces = 5 * std::int64_t{transport::piece_bytes} / 4 - 1000;

Bytes message_of(const FakeExecutable& model, std::string_view codec, const core::Values& values) {
  Bytes message;
  exec::write_tail_request_header(
      {model.fingerprint(), model.cuts()[1].id, std::string(codec), {}, {}}, message);
  EXPECT_TRUE(transport::encode_values(values, **transport::find_codec(codec), message));
  exec::seal(message);
  return message;
}

// The outputs of two replies; their times, and so their checks, differ.
bool same(const core::Result<Bytes>& a, const core::Result<Bytes>& b) {
  constexpr std::size_t header = 1 + 3 * sizeof(double), check = 8;
  return a && b && a->size() == b->size() && a->size() > header + check &&
         std::equal(a->begin() + header, a->end() - check, b->begin() + header);
}

core::Result<Bytes> in_parts(const exec::InferService& service, std::span<const std::byte> message,
                             const std::function<std::size_t()>& size) {
  const auto sink = service.tail_sink();
  while (!message.empty()) {
    const auto part = message.first(std::min(size(), message.size()));
    if (auto added = sink->add(part); !added)
      return core::fail(added);
    message = message.subspan(part.size());
  }
  return sink->finish({});
}

class StreamTest : public testing::Test {
 protected:
  explicit StreamTest(std::int64_t width = 64)
      : model(std::make_shared<FakeExecutable>(std::vector<Seconds>(3, milliseconds(1)), width,
                                               clock.get())) {
    models.put(model);
  }
  std::shared_ptr<core::ManualClock> clock = std::make_shared<core::ManualClock>();
  std::shared_ptr<FakeExecutable> model;
  exec::ModelStore models;
  exec::InferService service{models, nullptr, clock};
};

TEST_F(StreamTest, AMessageInPartsOfAnySizesIsAnsweredLikeTheWholeOne) {
  for (const char* codec : {"raw", "int8", "q4", "fp16+zstd"}) {
    const Bytes message = message_of(*model, codec, model->example());
    const auto whole = service.tail(message);
    ASSERT_TRUE(whole) << whole.error().message();
    for (std::size_t size = 1; size <= message.size(); ++size)
      EXPECT_TRUE(same(in_parts(service, message, [&] { return size; }), whole))
          << codec << ", " << size;
    for (std::size_t cut = 0; cut < message.size(); ++cut) {
      bool first = true;
      EXPECT_TRUE(same(in_parts(service, message,
                                [&] { return std::exchange(first, false) ? cut : message.size(); }),
                       whole));
    }
  }
}

TEST_F(StreamTest, NothingIsRunForAMessageWithAnyBitFlipped) {
  const Bytes good = message_of(*model, "raw", model->example());
  const Seconds before = clock->now();
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    Bytes message = good;
    message[bit / 8] ^= std::byte{1} << (bit % 8);
    EXPECT_EQ(in_parts(service, message, [] { return 37; }).error().code, Errc::corrupt) << bit;
  }
  EXPECT_EQ(clock->now(), before);
}

TEST_F(StreamTest, NothingIsRunForAMessageThatIsShortOrTooLong) {
  Bytes message = message_of(*model, "int8", model->example());
  const Seconds before = clock->now();
  for (std::size_t length = 0; length < message.size(); ++length)
    EXPECT_EQ(in_parts(service, std::span(message).first(length), [] { return 41; }).error().code,
              Errc::corrupt)
        << length;
  for (int more = 0; more < 20; ++more) {
    message.push_back(std::byte{7});
    EXPECT_EQ(in_parts(service, message, [] { return 41; }).error().code, Errc::corrupt);
  }
  EXPECT_EQ(clock->now(), before);
}

TEST_F(StreamTest, WhatIsNoRequestIsRefusedAsTheWholeMessageIs) {
  std::mt19937 random(7);
  const Bytes good = message_of(*model, "q6+zstd", model->example());
  for (int i = 0; i < 2000; ++i) {
    Bytes message(good.begin(), good.end() - 8);
    for (int flips = 1 + static_cast<int>(random() % 4); flips > 0; --flips)
      message[random() % message.size()] ^= static_cast<std::byte>(1 + random() % 255);
    if (random() % 4 == 0)
      message.resize(random() % message.size());
    exec::seal(message);
    const auto whole = service.tail(message);
    const auto parts = in_parts(service, message, [&] { return 1 + random() % 50; });
    ASSERT_EQ(whole.has_value(), parts.has_value());
    if (!whole) {
      EXPECT_EQ(parts.error().code, whole.error().code);
    }
  }
}

TEST_F(StreamTest, TheLengthOfAHeaderIsToldByItsBeginning) {
  for (const bool with_head : {false, true}) {
    exec::TailRequest request{
        model->fingerprint(), model->cuts()[1].id, "int8+zstd", {1, 2, 3}, {}};
    if (with_head)
      request.head = {{0, 2}, {3, 5}};
    Bytes message;
    exec::write_tail_request_header(request, message);
    const std::size_t header = message.size();
    message.resize(header + 100);
    for (std::size_t length = 0; length <= message.size(); ++length) {
      const std::size_t told = exec::least_tail_request_header(std::span(message).first(length));
      EXPECT_LE(told, header);
      if (length < header)
        EXPECT_GT(told, length);
      else
        EXPECT_EQ(told, header);
    }
  }
  // Counts that cannot be do not ask for more than the largest header has.
  EXPECT_LT(exec::least_tail_request_header(Bytes(1000, std::byte{0xff})), 64U << 10);
}

class LongStreamTest : public StreamTest {
 protected:
  LongStreamTest() : StreamTest(five_pieces) {}
  core::Configuration at(std::size_t cut, std::string codec = "raw") {
    return split_at(*model, cut, std::move(codec));
  }
};

TEST_F(LongStreamTest, TensorsThatFindNoRoomAreDecodedByTheWorker) {
  const std::uint64_t bytes = 4 * static_cast<std::uint64_t>(five_pieces);
  for (const std::uint64_t room : {std::uint64_t{0}, bytes - 1, bytes, 2 * bytes}) {
    const exec::InferService small(models, nullptr, clock, room);
    const Bytes message = message_of(*model, "fp16", model->example());
    const auto whole = service.tail(message);
    ASSERT_TRUE(whole);
    // Three at once, and again when those have gone.
    for (int round = 0; round < 2; ++round) {
      std::vector<std::unique_ptr<transport::BodySink>> sinks;
      for (int i = 0; i < 3; ++i) sinks.push_back(small.tail_sink());
      for (std::size_t at = 0; at < message.size(); at += 100000)
        for (const auto& sink : sinks)
          ASSERT_TRUE(sink->add(
              std::span(message).subspan(at, std::min<std::size_t>(100000, message.size() - at))));
      for (const auto& sink : sinks) EXPECT_TRUE(same(sink->finish({}), whole)) << room;
    }
  }
}

// Takes calls piece by piece into a sink, and tells of each piece.
class PiecewiseRemote final : public exec::Remote {
 public:
  explicit PiecewiseRemote(const exec::InferService& service) : service_(service) {}
  core::Result<exec::RemoteReply> call(exec::RemoteCall) override {
    return core::fail(Errc::internal, "not used");
  }
  exec::RemoteStart start(exec::RemoteCall call, Done done) override {
    const unsigned taken_by = endpoint;
    const auto sink = service_.tail_sink();
    std::size_t bytes = call.body.size();
    const std::uint64_t bound = bytes + (call.more != nullptr ? call.more->bound() : 0);
    EXPECT_TRUE(sink->add(call.body));
    pieces = 1;
    while (call.more != nullptr) {
      if (on_piece)
        if (auto stop = on_piece(pieces); !stop) {
          done(core::fail(stop));
          return {taken_by, {}};
        }
      const auto piece = call.more->next();
      if (!piece) {
        done(core::fail(piece));
        return {taken_by, {}};
      }
      if (piece->empty())
        break;
      ++pieces;
      bytes += piece->size();
      EXPECT_TRUE(sink->add(*piece));
    }
    EXPECT_LE(bytes, bound);
    sent = bytes;
    auto reply = sink->finish({});
    if (reply)
      done(exec::RemoteReply{std::move(*reply), {}, {}, {}, {}});
    else
      done(core::fail(reply));
    ++endpoint;
    return {taken_by, {}};
  }
  bool available(const exec::RemoteChoice& choice) const override {
    return (choice.avoid >> endpoint & 1) == 0 && endpoint < endpoints;
  }

  unsigned endpoint = 0, endpoints = 1;
  int pieces = 0;
  std::size_t sent = 0;
  std::function<core::Result<void>(int piece)> on_piece;

 private:
  const exec::InferService& service_;
};

TEST_F(LongStreamTest, EveryCutGivesWhatTheWholeNetworkGivesInPieces) {
  PiecewiseRemote cloud(service);
  exec::Executor executor(model, nullptr, &cloud, {.clock = clock});
  for (const char* codec : {"raw", "raw+zstd"})
    for (std::size_t cut = 0; cut + 1 < model->cuts().size(); ++cut) {
      cloud.endpoint = 0;
      const auto execution = executor.execute(at(cut, codec), model->example());
      ASSERT_TRUE(execution) << execution.error().message();
      EXPECT_FALSE(execution->fell_back);
      EXPECT_EQ(floats_of(execution->outputs), model->expected());
      EXPECT_GE(cloud.pieces, 5);
      EXPECT_EQ(execution->sent, core::Bytes(static_cast<double>(cloud.sent)));
    }
}

TEST_F(StreamTest, ASmallMessageIsWholeFromTheStart) {
  PiecewiseRemote cloud(service);
  cloud.on_piece = [](int) -> core::Result<void> {
    ADD_FAILURE() << "it has more than one piece";
    return {};
  };
  exec::Executor executor(model, nullptr, &cloud, {.clock = clock});
  const auto execution = executor.execute(split_at(*model, 1), model->example());
  ASSERT_TRUE(execution);
  EXPECT_FALSE(execution->fell_back);
  EXPECT_EQ(execution->parts.encode_meanwhile, Seconds(0));
}

TEST_F(LongStreamTest, ALinkThatBreaksAtAnyPieceLosesNoRequest) {
  PiecewiseRemote cloud(service);
  exec::Executor executor(model, nullptr, &cloud, {.clock = clock});
  int fail_at = 1;
  for (bool failed = true; failed; ++fail_at) {
    failed = false;
    cloud.endpoint = 0;
    cloud.on_piece = [&](int piece) -> core::Result<void> {
      if (piece < fail_at)
        return {};
      failed = true;
      return core::fail(Errc::unavailable, "it broke");
    };
    const auto execution = executor.execute(at(1), model->example());
    ASSERT_TRUE(execution);
    EXPECT_EQ(execution->fell_back, failed);
    EXPECT_EQ(floats_of(execution->outputs), model->expected());
  }
  EXPECT_GT(fail_at, 5);
}

TEST_F(LongStreamTest, AnotherEndpointGetsTheBodyFromItsBeginning) {
  PiecewiseRemote cloud(service);
  cloud.endpoints = 2;
  exec::Executor executor(model, nullptr, &cloud, {.clock = clock});
  int calls = 0;
  cloud.on_piece = [&](int piece) -> core::Result<void> {
    if (piece == 1)
      ++calls;
    if (calls == 1 && piece == 3) {
      ++cloud.endpoint;
      return core::fail(Errc::unavailable, "it broke");
    }
    return {};
  };
  const auto execution = executor.execute(at(1, "raw+zstd"), model->example());
  ASSERT_TRUE(execution);
  EXPECT_FALSE(execution->fell_back);
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(floats_of(execution->outputs), model->expected());
}

// Answers with what would be right before it has the whole request.
class HastyRemote final : public exec::Remote {
 public:
  explicit HastyRemote(Bytes reply) : reply_(std::move(reply)) {}
  core::Result<exec::RemoteReply> call(exec::RemoteCall) override {
    return core::fail(Errc::internal, "not used");
  }
  exec::RemoteStart start(exec::RemoteCall, Done done) override {
    done(exec::RemoteReply{reply_, {}, {}, {}, {}});
    return {0, {}};
  }
  void distrust(unsigned) override { ++distrusted; }
  int distrusted = 0;

 private:
  Bytes reply_;
};

TEST_F(LongStreamTest, AnAnswerBeforeTheRequestsEndIsNone) {
  const auto values = model->run(model->cuts()[0].id, model->cuts()[1].id, model->example());
  const auto reply = service.tail(message_of(*model, "raw", *values));
  ASSERT_TRUE(reply);
  HastyRemote cloud(*reply);
  exec::Executor executor(model, nullptr, &cloud, {.clock = clock});
  const auto execution = executor.execute(at(1), model->example());
  ASSERT_TRUE(execution);
  EXPECT_TRUE(execution->fell_back);
  EXPECT_EQ(execution->remote_error->code, Errc::corrupt);
  EXPECT_EQ(cloud.distrusted, 1);
  EXPECT_EQ(floats_of(execution->outputs), model->expected());
}

// Each look at it takes a millisecond.
class TickingClock final : public core::Clock {
 public:
  core::Seconds now() const override { return milliseconds(static_cast<double>(++ticks)); }
  mutable std::atomic<int> ticks{0};
};

TEST_F(LongStreamTest, WhatIsEncodedWhileTheFirstBytesAreSentIsCountedOnce) {
  const auto ticking = std::make_shared<TickingClock>();
  PiecewiseRemote cloud(service);
  exec::Executor executor(model, nullptr, &cloud, {.clock = ticking});
  const auto execution = executor.execute(at(1), model->example());
  ASSERT_TRUE(execution);
  ASSERT_FALSE(execution->fell_back);
  const exec::MeasuredParts& p = execution->parts;
  // Two looks at the clock for each piece behind the first.
  EXPECT_GE(p.encode_meanwhile, milliseconds(cloud.pieces - 1));
  EXPECT_GE(p.network, p.encode_meanwhile);
  const Seconds sum = p.apply + p.edge_compute + p.encode + p.upload + p.queue + p.decode +
                      p.cloud_compute + p.reply + p.network + p.abandoned;
  EXPECT_LE(sum, p.total);
  EXPECT_GT(sum, p.total - milliseconds(12));  // looks between the parts
}

// Holds calls until the test lets them go.
class ParkedRemote final : public exec::Remote {
 public:
  core::Result<exec::RemoteReply> call(exec::RemoteCall) override {
    return core::fail(Errc::internal, "not used");
  }
  exec::RemoteStart start(exec::RemoteCall, Done done) override {
    parked.set_value(std::move(done));
    return {0, {}};
  }
  std::promise<Done> parked;
};

TEST(Turn, ARequestThatIsAwayHoldsNeitherTheTurnNorTheKnobs) {
  int level = -1, level_in_head = -1;
  const auto knob = [&](int threads) -> core::Result<void> {
    level = threads;
    return {};
  };
  std::vector<std::unique_ptr<device::Governor>> governors;
  governors.push_back(
      std::make_unique<device::ThreadsGovernor>(std::vector<int>{1, 2, 3}, 1, knob));
  device::Arbiter arbiter(std::move(governors));
  const auto model = std::make_shared<FakeExecutable>(std::vector<Seconds>(3), std::int64_t{16});
  ParkedRemote cloud;
  exec::Executor executor(model, &arbiter, &cloud);
  const auto turns = std::make_shared<exec::Turns>();
  const auto configured = [&](std::size_t cut, core::LevelIndex to) {
    return split_at(*model, cut, "raw", {to});
  };
  auto away = std::async(std::launch::async, [&] {
    exec::Turn turn(turns);
    return executor.execute(configured(1, 2), model->example(), {.turn = &turn});
  });
  const auto done = cloud.parked.get_future().get();
  {
    exec::Turn turn(turns);  // would wait for ever
    const auto here = executor.execute(configured(3, 0), model->example(), {.turn = &turn});
    ASSERT_TRUE(here);
    level_in_head = level;
    EXPECT_EQ(level_in_head, 1);
    EXPECT_TRUE(turn.held());
    // The other one needs its tail here, and waits for this one.
    done(core::fail(Errc::unavailable, "it broke"));
    while (turns->waiting() == 0) std::this_thread::yield();
    EXPECT_EQ(level, 1);
  }
  const auto back = away.get();
  ASSERT_TRUE(back);
  EXPECT_TRUE(back->fell_back);
  EXPECT_EQ(level, 3);
  EXPECT_GT(back->parts.abandoned, Seconds(0));
}

}  // namespace
}  // namespace cleave::tests
