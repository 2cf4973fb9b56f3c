// Many clients, a link that stalls, cuts and corrupts, and a server that is killed and comes back:
// every request is answered once, and right.
#include "tests/chaos/child.hpp"
#include "tests/chaos/network.hpp"
#include "tests/support/fake_table.hpp"

#include <cleave/runtime/cloud_link.hpp>
#include <cleave/runtime/edge_client.hpp>
#include <cleave/transport/relay.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

namespace cleave::tests {
namespace {

// Sanitizers keep freed memory for a while; AddressSanitizer finds what is leaked by itself.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif

using core::milliseconds;
using core::Seconds;

struct Plan {
  int clients = 0, requests = 0, restarts = 0;
};

// Lets the clients' requests go one by one, up to a number that grows.
class Gate {
 public:
  // The number of the next request; -1: no more.
  int next() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return taken_ < open_ || closed_; });
    return taken_ < open_ ? taken_++ : -1;
  }
  void open_to(int requests) {
    const std::lock_guard lock(mutex_);
    open_ = requests;
    changed_.notify_all();
  }
  void close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int open_ = 0, taken_ = 0;
  bool closed_ = false;
};

struct Tally {
  std::atomic<int> answered{0}, wrong{0}, failed{0}, by_cloud{0}, hedged{0};
};

core::Values input_of(int request) {
  std::mt19937 random(static_cast<std::uint32_t>(request));
  core::Tensor x = core::empty_tensor(core::DType::float32, {300});
  for (int i = 0; i < 300; ++i)
    x.data_as<float>()[i] = static_cast<float>(random() % 4096) / 64.0F - 32.0F;
  return {x};
}

// What the network gives, computed here.
bool is_right(const core::Values& outputs, int request) {
  const std::vector<float> got = floats_of(outputs), x = floats_of(input_of(request));
  for (std::size_t k = 0; k < x.size(); ++k) {
    float value = x[k];
    for (int step = 0; step < 6; ++step) value = value * 1.5F + static_cast<float>(step);
    if (got.at(k) != value)
      return false;
  }
  return got.size() == x.size();
}

class Client {
 public:
  Client(std::uint16_t port, std::uint64_t seed) {
    const auto model = chaos_network();
    runtime::CloudLinkOptions link;
    link.host = "127.0.0.1";
    link.port = port;
    link.seed = seed;
    link.heartbeat = milliseconds(200);
    link.first_backoff = milliseconds(5);
    link.last_backoff = milliseconds(200);
    link_ = std::make_shared<runtime::CloudLink>(link);
    runtime::EdgeOptions edge;
    edge.model = model;
    edge.table = std::make_shared<table::ParetoTable>(table_of(*model));
    edge.cloud = link_;
    edge.policy = "all-cloud";
    edge.workers = 0;
    edge_ = *runtime::EdgeClient::open(std::move(edge));
  }

  [[nodiscard]] bool wait() { return link_->wait_connected(Seconds(60)).has_value(); }

  void work(Gate& gate, Tally& tally) {
    for (int number = gate.next(); number >= 0; number = gate.next()) {
      runtime::Request request;
      request.inputs = input_of(number);
      request.deadline = milliseconds(50 + number % 500);
      const auto reply = edge_->infer(request);
      if (!reply)
        ++tally.failed;
      else if (!is_right(reply->outputs, number))
        ++tally.wrong;
      else if (!reply->fell_back)
        ++tally.by_cloud;
      if (reply && reply->hedged > Seconds(0))
        ++tally.hedged;
      ++tally.answered;
      tally.answered.notify_all();
      // The edge is quick here: it would answer all requests in the time of a few reconnects.
      if (reply && reply->fell_back && number % 2 == 0)
        (void)link_->wait_connected(milliseconds(20));
    }
  }

 private:
  std::shared_ptr<runtime::CloudLink> link_;
  std::unique_ptr<runtime::EdgeClient> edge_;
};

void wait_for_answers(const Tally& tally, int count) {
  for (int now = tally.answered; now < count; now = tally.answered) tally.answered.wait(now);
}

// Looks again until it is so, or a minute has passed.
template <class F>
bool comes_true(F f) {
  const core::SteadyClock clock;
  const Seconds until = clock.now() + Seconds(60);
  while (!f()) {
    if (clock.now() > until)
      return false;
    std::this_thread::yield();
  }
  return true;
}

void run(const Plan& plan) {
  const std::size_t descriptors = open_descriptors(0);
  auto server = std::make_unique<Child>(CLEAVE_CHAOS_SERVER, 0);
  const std::uint16_t server_port = server->port();
  Tally tally;
  transport::RelayCounts counts;
  std::size_t resident = 0;
  int restarts = 0;
  {
    transport::RelayOptions link;
    link.target_port = server_port;
    link.faults.stalls = {2, milliseconds(40)};
    link.faults.cut_after = core::Bytes(200e3);
    link.faults.corruption_up = link.faults.corruption_down = 2e-5;
    auto relay = transport::Relay::start(link);
    ASSERT_TRUE(relay) << relay.error().message();
    std::vector<std::unique_ptr<Client>> clients;
    for (int i = 0; i < plan.clients; ++i)
      clients.push_back(
          std::make_unique<Client>((*relay)->port(), static_cast<std::uint64_t>(i + 1)));
    Gate gate;
    std::vector<std::thread> threads;
    for (const auto& client : clients)
      threads.emplace_back([&, c = client.get()] { c->work(gate, tally); });

    // A round: all connected, requests, the server killed among them, the rest of the requests
    // without it, the server back.
    const int rounds = plan.restarts + 1;
    for (int round = 1; round <= rounds; ++round) {
      for (const auto& client : clients) EXPECT_TRUE(client->wait());
      const int before = tally.answered, until = plan.requests * round / rounds;
      if (round == rounds) {
        gate.open_to(plan.requests);
        wait_for_answers(tally, plan.requests);
        break;
      }
      gate.open_to(until);
      wait_for_answers(tally, before + (until - before) * 3 / 4);
      server->kill();
      ++restarts;
      wait_for_answers(tally, until);
      if (round == 1)
        resident = resident_bytes(0);  // everybody has made requests, failed and fallen back
      server = std::make_unique<Child>(CLEAVE_CHAOS_SERVER, server_port);
    }
    gate.close();
    for (std::thread& thread : threads) thread.join();
    counts = (*relay)->counts();
    // Within what allocators keep and threads touch for the first time.
    if (!sanitized) {
      EXPECT_LT(resident_bytes(0), resident + (std::size_t{64} << 20));
    }
    EXPECT_TRUE(server->alive());
  }
  EXPECT_EQ(tally.answered, plan.requests);
  EXPECT_EQ(tally.failed, 0);
  EXPECT_EQ(tally.wrong, 0);
  EXPECT_EQ(restarts, plan.restarts);
  EXPECT_GT(tally.by_cloud, plan.requests / 10);
  EXPECT_LT(tally.by_cloud, plan.requests);
  EXPECT_GT(counts.flipped_up + counts.flipped_down, 0u);
  EXPECT_GT(counts.cut, 0u);
  // When the clients have gone, the server holds what one that never had any holds.
  const Child fresh(CLEAVE_CHAOS_SERVER, 0);
  EXPECT_TRUE(comes_true([&] {
    return open_descriptors(server->pid()) <= open_descriptors(fresh.pid());
  })) << open_descriptors(server->pid())
      << " descriptors";
  if (!sanitized) {
    EXPECT_LT(resident_bytes(server->pid()),
              resident_bytes(fresh.pid()) + (std::size_t{128} << 20));
  }
  server.reset();
  EXPECT_LE(open_descriptors(0), descriptors + 1);  // the fresh child's
  std::printf(
      "%d requests: %d by the cloud, %d on the edge, %d raced; %llu cut, %llu stalls, "
      "%llu bits flipped, %d kills\n",
      plan.requests, tally.by_cloud.load(), plan.requests - tally.by_cloud, tally.hedged.load(),
      static_cast<unsigned long long>(counts.cut), static_cast<unsigned long long>(counts.stalls),
      static_cast<unsigned long long>(counts.flipped_up + counts.flipped_down), restarts);
}

TEST(Chaos, EveryRequestIsAnsweredOnceAndRightWhateverBreaks) {
  run({.clients = 8, .requests = 600, .restarts = 2});
}

TEST(Chaos, TenThousandRequestsOf64ClientsWhileTheServerIsKilledTenTimes) {
  run({.clients = 64, .requests = 10000, .restarts = 10});
}

}  // namespace
}  // namespace cleave::tests
