// Bodies that are made while they are sent, over real connections, and requests that follow one
// another without waiting.
#include "tests/support/fake_executable.hpp"
#include "tests/support/fake_table.hpp"
#include "tests/support/quick_link.hpp"

#include <cleave/runtime/cloud_link.hpp>
#include <cleave/runtime/cloud_server.hpp>
#include <cleave/runtime/edge_client.hpp>
#include <cleave/transport/channel.hpp>
#include <cleave/transport/codec.hpp>
#include <cleave/transport/relay.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <latch>
#include <thread>

namespace cleave::tests {
namespace {

using core::Errc;
using core::milliseconds;
using core::Seconds;
using Bytes = std::vector<std::byte>;
using Reply = core::Result<exec::RemoteReply>;

constexpr Seconds hour(3600);

Bytes piece_of(std::size_t size, std::size_t seed) {
  Bytes piece(size);
  for (std::size_t i = 0; i < size; ++i) piece[i] = static_cast<std::byte>(i * 131 + seed * 7);
  return piece;
}

// Pieces as long as there are any, or until one fails; tells before each.
class Pieces final : public exec::BodySource {
 public:
  Pieces(int count, std::size_t size) : left_(count), size_(size) {}
  [[nodiscard]] std::uint64_t bound() const override {
    return bound_or(size_ * std::size_t(left_));
  }
  core::Result<Bytes> next() override {
    if (before)
      before(asked);
    if (asked++ == fail_at)
      return core::fail(Errc::exhausted, "no memory");
    if (left_ == 0)
      return Bytes();
    --left_;
    Bytes piece = piece_of(size_, static_cast<std::size_t>(asked));
    made.insert(made.end(), piece.begin(), piece.end());
    return piece;
  }

  int asked = 0, fail_at = -1;
  std::optional<std::uint64_t> claim;  // instead of the true bound
  std::function<void(int)> before;
  Bytes made;

 private:
  [[nodiscard]] std::uint64_t bound_or(std::uint64_t real) const { return claim.value_or(real); }
  int left_;
  std::size_t size_;
};

class StreamedCallTest : public testing::Test {
 protected:
  StreamedCallTest() {
    models->put(model);
    runtime::CloudServerOptions serving;
    serving.port = 0;
    const runtime::ServiceHandler echo = [](std::span<const std::byte> body) {
      return core::Result<Bytes>(Bytes(body.begin(), body.end()));
    };
    server = *runtime::CloudServer::start(serving, models, {{"test", "echo", echo}});
    transport::RelayOptions between;
    between.target_port = server->port();
    relay = *transport::Relay::start(between);
    options = quiet_link(relay->port());
  }

  std::shared_ptr<runtime::CloudLink> connect() {
    auto link = std::make_shared<runtime::CloudLink>(options);
    const auto connected = link->wait_connected(Seconds(60));
    EXPECT_TRUE(connected) << connected.error().message();
    return link;
  }

  static exec::RemoteCall call_of(Bytes first, exec::BodySource& more) {
    exec::RemoteCall call;
    call.service = "test";
    call.method = "echo";
    call.body = std::move(first);
    call.patience = hour;
    call.more = &more;
    return call;
  }

  static Reply ask(runtime::CloudLink& link, exec::RemoteCall call) {
    std::promise<Reply> answer;
    link.start(std::move(call), [&](Reply reply) { answer.set_value(std::move(reply)); });
    return answer.get_future().get();
  }

  std::shared_ptr<FakeExecutable> model = std::make_shared<FakeExecutable>(
      std::vector<Seconds>(3), 5 * std::int64_t{transport::piece_bytes} / 4);
  std::shared_ptr<exec::ModelStore> models = std::make_shared<exec::ModelStore>();
  std::unique_ptr<runtime::CloudServer> server;
  std::unique_ptr<transport::Relay> relay;
  runtime::CloudLinkOptions options;
};

TEST_F(StreamedCallTest, AServerThatTakesWholeBodiesGetsOne) {
  const auto link = connect();
  for (const int count : {0, 1, 20}) {
    Pieces more(count, 70000);
    Bytes expected = piece_of(1000, 99);
    const auto reply = ask(*link, call_of(expected, more));
    ASSERT_TRUE(reply) << reply.error().message();
    expected.insert(expected.end(), more.made.begin(), more.made.end());
    EXPECT_EQ(reply->body, expected);
    EXPECT_EQ(more.asked, count + 1);
  }
}

TEST_F(StreamedCallTest, AServerThatTakesPiecesUnderstandsAWholeBody) {
  const auto& cuts = model->cuts();
  Bytes message;
  exec::write_tail_request_header({model->fingerprint(), cuts[0].id, "raw", {}, {}}, message);
  ASSERT_TRUE(transport::encode_values(model->example(), **transport::find_codec("raw"), message));
  const std::uint64_t check = exec::seal(message);
  const auto link = connect();
  exec::RemoteCall call;
  call.service = exec::infer_service;
  call.method = exec::tail_method;
  call.body = std::move(message);
  const auto reply = link->call(std::move(call));
  ASSERT_TRUE(reply) << reply.error().message();
  const auto opened = exec::unseal(reply->body, check);
  ASSERT_TRUE(opened);
  const auto outputs = transport::decode_values(exec::parse_tail_reply(opened->message)->outputs);
  ASSERT_TRUE(outputs);
  EXPECT_EQ(floats_of(*outputs), model->expected());
}

TEST_F(StreamedCallTest, ASourceThatFailsAtAnyPieceEndsTheCallWithItsErrorAndCountsAgainstNobody) {
  const auto link = connect();
  for (int fail_at = 0; fail_at < 6; ++fail_at) {
    Pieces more(5, 70000);
    more.fail_at = fail_at;
    const auto reply = ask(*link, call_of(piece_of(10, 0), more));
    ASSERT_FALSE(reply);
    EXPECT_EQ(reply.error().what, "no memory");
    EXPECT_EQ(more.asked, fail_at + 1);
    EXPECT_TRUE(link->reachable());
  }
  Pieces more(5, 70000);
  EXPECT_TRUE(ask(*link, call_of(piece_of(10, 0), more)));
}

TEST_F(StreamedCallTest, ASourceWithoutAnEndIsLeftWhenTheConnectionBreaks) {
  const auto link = connect();
  Pieces more(1 << 30, 1);
  more.claim = 1 << 20;
  more.before = [&](int asked) {
    if (asked == 10)
      relay->kill_connections();
    if (asked >= 10)
      std::this_thread::yield();
  };
  const auto reply = ask(*link, call_of(piece_of(10, 0), more));
  ASSERT_FALSE(reply);
  EXPECT_TRUE(reply.error().code == Errc::unavailable || reply.error().code == Errc::exhausted);
  EXPECT_LT(more.asked, 1 << 21);
  EXPECT_TRUE(link->wait_connected(Seconds(60)));
}

TEST_F(StreamedCallTest, ASourceOverItsBoundEndsTheCall) {
  const auto link = connect();
  Pieces more(100, 70000);
  more.claim = 80000;
  const auto reply = ask(*link, call_of(piece_of(10, 0), more));
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, Errc::exhausted);
}

TEST_F(StreamedCallTest, ABoundBeyondWhatOneBodyMayHaveIsNoneWhereTheBytesAreFew) {
  const auto link = connect();
  Pieces more(3, 70000);
  more.claim = std::uint64_t{1} << 40;
  Bytes expected = piece_of(10, 0);
  const auto reply = ask(*link, call_of(expected, more));
  ASSERT_TRUE(reply) << reply.error().message();
  EXPECT_EQ(reply->body.size(), 10U + 3 * 70000);
}

TEST_F(StreamedCallTest, ACallIsCancelledWhenItsBodyIsUnderWay) {
  const auto link = connect();
  relay->set_state(transport::LinkState::stalled);
  Pieces more(40, 100000);
  std::promise<Reply> answer;
  const auto started = link->start(call_of(piece_of(10, 0), more),
                                   [&](Reply reply) { answer.set_value(std::move(reply)); });
  ASSERT_TRUE(started.cancel);
  started.cancel();
  EXPECT_EQ(answer.get_future().get().error().code, Errc::cancelled);
  started.cancel();
  relay->set_state(transport::LinkState::moving);
  EXPECT_TRUE(link->wait_connected(Seconds(60)));
}

TEST_F(StreamedCallTest, ASlowSenderIsNotTakenForASlowLink) {
  const core::BytesPerSecond rate(5e6);
  ASSERT_TRUE(relay->set_link(rate, rate, milliseconds(1), Seconds(0)));
  const auto link = connect();
  for (int i = 0; i < 3; ++i) {
    Pieces fast(10, 40000);
    ASSERT_TRUE(ask(*link, call_of(piece_of(10, 0), fast)));
  }
  const core::SteadyClock clock;
  for (int i = 0; i < 6; ++i) {
    Pieces slow(10, 40000);  // in 200 ms: 2 MB/s
    slow.before = [&](int) {
      for (const Seconds until = clock.now() + milliseconds(20); clock.now() < until;)
        std::this_thread::yield();
    };
    ASSERT_TRUE(ask(*link, call_of(piece_of(10, 0), slow)));
  }
  const auto estimate = link->link();
  ASSERT_TRUE(estimate && estimate->up_measured);
  EXPECT_GT(estimate->up.count(), 3.3e6);
}

class PipelineTest : public StreamedCallTest {
 protected:
  runtime::EdgeOptions client_options(std::shared_ptr<runtime::Cloud> cloud, int workers) {
    runtime::EdgeOptions edge;
    edge.model = model;
    table::ParetoTable table = table_of(*model);
    for (table::TableRow& row : table.rows) {
      row.configuration.codecs = {"raw+zstd"};
      row.ingredients.cloud_compute = Seconds(60);  // so long it is waited for, and not needed
    }
    edge.table = std::make_shared<table::ParetoTable>(std::move(table));
    edge.cloud = std::move(cloud);
    edge.policy = "all-cloud";
    edge.workers = workers;
    return edge;
  }
  static core::Values input(const FakeExecutable& of, float first) {
    core::Values values = of.example();
    values[0].tensor()->data_as<float>()[0] = first;
    return values;
  }
};

TEST_F(PipelineTest, RequestsInFlightAreAnsweredEachByItsOwnInput) {
  const auto client = *runtime::EdgeClient::open(client_options(connect(), 4));
  std::vector<std::future<core::Result<runtime::Reply>>> replies;
  for (int i = 0; i < 12; ++i)
    replies.push_back(client->submit({.inputs = input(*model, static_cast<float>(i))}));
  for (int i = 0; i < 12; ++i) {
    const auto reply = replies[static_cast<std::size_t>(i)].get();
    ASSERT_TRUE(reply) << reply.error().message();
    EXPECT_FALSE(reply->fell_back) << reply->cloud_error->message();
    auto expected = model->expected();
    expected[0] = static_cast<float>(i);
    for (int step = 0; step < 3; ++step)
      expected[0] = expected[0] * 1.5F + static_cast<float>(step);
    EXPECT_EQ(floats_of(reply->outputs), expected);
  }
}

// Counts who runs it at once, and holds tails until so many have come.
class Counted final : public core::Executable {
 public:
  Counted(std::shared_ptr<const FakeExecutable> inner, std::latch* together)
      : inner_(std::move(inner)), together_(together) {}
  core::Fingerprint fingerprint() const override { return inner_->fingerprint(); }
  std::span<const core::Cut> cuts() const override { return inner_->cuts(); }
  std::uint32_t step_count() const override { return inner_->step_count(); }
  core::Result<core::Values> run(core::CutId begin, core::CutId end,
                                 const core::Values& values) const override {
    if (begin == end)  // no head: nothing to compute, and it waits for nobody
      return values;
    const int now = ++inside;
    for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
    }
    if (together_ != nullptr)
      together_->arrive_and_wait();
    auto result = inner_->run(begin, end, values);
    --inside;
    return result;
  }
  core::Result<core::Values> run_timed(core::CutId begin, core::CutId end,
                                       const core::Values& values,
                                       std::vector<core::StepTime>& times) const override {
    return inner_->run_timed(begin, end, values, times);
  }
  core::Result<void> set_threads(int) const override { return {}; }
  mutable std::atomic<int> inside{0}, most{0};

 private:
  std::shared_ptr<const FakeExecutable> inner_;
  std::latch* const together_;
};

TEST_F(PipelineTest, TheNextHeadRunsWhileTheRequestsBeforeAreInTheCloud) {
  std::latch together(3);  // the cloud answers none before it has three
  const auto tails = std::make_shared<Counted>(model, &together);
  models->put(tails);
  runtime::CloudServerOptions serving;
  serving.port = 0;
  serving.workers = 3;
  server = *runtime::CloudServer::start(serving, models);
  options.port = server->port();
  const auto heads = std::make_shared<Counted>(model, nullptr);
  auto edge = client_options(connect(), 3);
  edge.model = heads;
  const auto client = *runtime::EdgeClient::open(std::move(edge));
  std::vector<std::future<core::Result<runtime::Reply>>> replies;
  for (int i = 0; i < 3; ++i) replies.push_back(client->submit({.inputs = model->example()}));
  for (auto& future : replies) {
    const auto reply = future.get();
    ASSERT_TRUE(reply);
    EXPECT_FALSE(reply->fell_back);
    EXPECT_EQ(floats_of(reply->outputs), model->expected());
  }
  EXPECT_EQ(tails->most, 3);
  EXPECT_LE(heads->most, 1);
}

TEST_F(PipelineTest, HeadsAndTailsOfABrokenCloudTakeTurns) {
  const auto link = connect();
  const auto heads = std::make_shared<Counted>(model, nullptr);
  auto edge = client_options(link, 4);
  edge.model = heads;
  const auto client = *runtime::EdgeClient::open(std::move(edge));
  std::vector<std::future<core::Result<runtime::Reply>>> replies;
  for (int i = 0; i < 40; ++i) {
    replies.push_back(client->submit({.inputs = model->example()}));
    if (i % 7 == 3)
      relay->kill_connections();
  }
  for (auto& future : replies) {
    const auto reply = future.get();
    ASSERT_TRUE(reply);
    EXPECT_EQ(floats_of(reply->outputs), model->expected());
  }
  EXPECT_EQ(heads->most, 1);
}

}  // namespace
}  // namespace cleave::tests
