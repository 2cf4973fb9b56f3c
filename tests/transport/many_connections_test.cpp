#include "tests/support/protocol_pair.hpp"

#include <cleave/transport/channel.hpp>
#include <cleave/transport/server.hpp>

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <future>
#include <mutex>
#include <thread>

namespace {

using namespace cleave;
using transport::Channel;
using Bytes = std::vector<std::byte>;

std::size_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t size = 0, resident = 0;
  file >> size >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

TEST(ManyConnections, AThousandIdleOnesCostLittleAndSixtyFourBusyOnesAreAllAnswered) {
#if defined(__SANITIZE_THREAD__)
  constexpr std::size_t idle = 100, busy = 16, calls = 10;  // all is many times slower
#else
  constexpr std::size_t idle = 1000, busy = 64, calls = 60;
#endif
  rlimit files{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
  if (files.rlim_max < 2 * (idle + busy) + 200)
    GTEST_SKIP() << "this process may open " << files.rlim_max << " files";
  files.rlim_cur = files.rlim_max;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &files), 0);

  transport::ServerOptions options;
  options.workers = 2;
  options.max_connections = idle + busy;
  options.max_queued = busy;
  options.peers.max_connections_per_address = idle + busy;
  options.limits.first_credit = 64U << 10;
  options.limits.max_body = 1U << 20;
  options.limits.max_incoming = 4U << 20;
  // Less than all busy ones could use at once, so that they wait for one another's memory.
  options.max_memory = options.limits.first_credit * options.max_connections + (16U << 20);
  auto server = transport::Server::listen(options);
  ASSERT_TRUE(server) << server.error().message();
  (*server)->handle("test", "mirror", [](const transport::Incoming& in) -> core::Result<Bytes> {
    Bytes mirrored(in.body.rbegin(), in.body.rend());
    return mirrored;
  });
  const auto io = std::make_shared<transport::IoContext>();
  const auto connect = [&] {
    transport::ChannelOptions client;
    client.port = (*server)->port();
    client.io = io;
    auto channel = Channel::connect(client);
    EXPECT_TRUE(channel) << channel.error().message();
    return *channel;
  };
  std::vector<std::shared_ptr<Channel>> channels{connect()};
  const std::size_t before = resident_bytes();
  while (channels.size() < idle) channels.push_back(connect());
  // Both ends of each are in this process.
  const std::size_t each = (resident_bytes() - before) / (idle - 1);

  std::mutex mutex;
  std::vector<double> seconds;
  std::size_t most = 0;  // resident bytes
  std::atomic<std::size_t> wrong{0};
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < busy; ++t) {
    channels.push_back(connect());
    threads.emplace_back([&, t, channel = channels.back()] {
      for (std::size_t i = 0; i < calls; ++i) {
        Bytes body = test::body_of(i % 10 == 0 ? 1U << 20 : 32U << 10, static_cast<int>(t + i));
        transport::Call call;
        call.service = "test";
        call.method = "mirror";
        call.body = body;
        const auto start = std::chrono::steady_clock::now();
        const auto reply = channel->call(std::move(call));
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
        std::reverse(body.begin(), body.end());
        if (!reply || reply->body != body)
          ++wrong;
        const std::size_t resident = resident_bytes();
        const std::lock_guard lock(mutex);
        seconds.push_back(took.count());
        most = std::max(most, resident);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0U);
  EXPECT_EQ((*server)->load().connections, idle + busy);
  for (const auto& channel : channels) EXPECT_TRUE(channel->connected());
  std::sort(seconds.begin(), seconds.end());
  std::printf(
      "an idle connection: %zu bytes at both ends; %zu busy ones: p50 %.1f ms, p99 %.1f ms\n", each,
      busy, 1e3 * seconds[seconds.size() / 2], 1e3 * seconds[seconds.size() * 99 / 100]);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LT(each, 64U << 10);
  // The server's bodies, what it keeps of them (64 MiB), and for each busy caller its own request
  // and reply with what is being written; allocators keep about as much again.
  EXPECT_LT(most - before, options.max_memory + (64U << 20) + 2 * busy * (6U << 20));
#endif
}

}  // namespace
