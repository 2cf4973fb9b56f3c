#include "lib/transport/section.hpp"

#include "lib/transport/io_context_impl.hpp"

#include <cleave/transport/channel.hpp>
#include <cleave/transport/server.hpp>

#include <gtest/gtest.h>

#include <future>
#include <latch>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace cleave::tests {
namespace {

using transport::Section;
namespace asio = boost::asio;

TEST(Section, OneIsInItAtATime) {
  Section section;
  int count = 0;  // by whoever is in it; a lost one shows, and to TSan any race
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 20'000; ++i) {
        const Section::Hold hold(section);
        ++count;
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(count, 80'000);
}

TEST(Section, WhoIsInItMayComeInAgain) {
  Section section;
  const Section::Hold hold(section);
  EXPECT_TRUE(section.held());
  {
    const Section::Visit visit(section);
    EXPECT_TRUE(visit);
    const Section::Hold again(section);
    EXPECT_TRUE(section.held());
  }
  EXPECT_TRUE(section.held());  // and leaves it once
}

TEST(Section, AVisitorDoesNotWait) {
  Section section;
  const Section::Hold hold(section);
  std::thread([&] {
    const Section::Visit visit(section);
    EXPECT_FALSE(visit);
    EXPECT_FALSE(section.held());
  }).join();
}

TEST(Section, HandlersAreInIt) {
  transport::IoContext io;
  const auto executor = io.impl()->executor();
  std::latch inside(1), go_on(1);
  std::promise<bool> nested;
  asio::post(executor, [&] {
    EXPECT_TRUE(io.on_thread());
    inside.count_down();
    go_on.wait();
    // At once, being in it already.
    bool ran = false;
    asio::dispatch(executor, [&] { ran = io.impl()->section().held(); });
    nested.set_value(ran);
  });
  inside.wait();
  {
    const Section::Visit visit(io.impl()->section());
    EXPECT_FALSE(visit);
  }
  EXPECT_FALSE(io.on_thread());
  go_on.count_down();
  EXPECT_TRUE(nested.get_future().get());
}

// What a handler holds goes while its thread is still in the section.
TEST(Section, AHandlersEndIsInItToo) {
  transport::IoContext io;
  std::promise<bool> in;
  // Its deleter is the last that is heard of it.
  const auto tell = [&](const int*) { in.set_value(io.impl()->section().held()); };
  static const int something = 0;
  asio::post(io.impl()->executor(),
             [last = std::unique_ptr<const int, decltype(tell)>(&something, tell)] {});
  EXPECT_TRUE(in.get_future().get());
}

class VisitTest : public testing::Test {
 protected:
  void SetUp() override {
    server = std::move(transport::Server::listen({}).value());
    server->handle("test", "echo",
                   [](const transport::Incoming& in) -> core::Result<std::vector<std::byte>> {
                     return in.body;
                   });
    transport::ChannelOptions options;
    options.host = "127.0.0.1";
    options.port = server->port();
    options.io = io;
    channel = transport::Channel::connect(options).value();
  }
  transport::Call echo(std::size_t bytes) {
    transport::Call call;
    call.service = "test";
    call.method = "echo";
    std::vector<std::byte> body(bytes);
    call.body = std::move(body);
    return call;
  }
  std::mutex mutex;  // outlives the thread that runs the callbacks
  std::shared_ptr<transport::IoContext> io = std::make_shared<transport::IoContext>();
  std::unique_ptr<transport::Server> server;
  std::shared_ptr<transport::Channel> channel;
};

// The caller may hold what a callback wants.
TEST_F(VisitTest, NoCallbackRunsOnItsCallersThread) {
  std::vector<std::future<void>> answered;
  for (int i = 0; i < 200; ++i) {
    const auto done = std::make_shared<std::promise<void>>();
    answered.push_back(done->get_future());
    const std::lock_guard lock(mutex);
    if (i == 100)
      server.reset();  // from here on each of them fails
    channel->start(echo(static_cast<std::size_t>(i)),
                   [this, done](const core::Result<transport::Response>&) {
                     EXPECT_TRUE(io->on_thread());
                     const std::lock_guard wait(mutex);
                     done->set_value();
                   });
  }
  for (auto& answer : answered) answer.get();
}

// A callback that waits for a thread which asks for something of the same link.
TEST_F(VisitTest, ACallbackMayWaitForACaller) {
  std::promise<void> first, second;
  channel->start(echo(1), [&](const core::Result<transport::Response>& response) {
    EXPECT_TRUE(response);
    std::thread([&] {
      channel->start(echo(2), [&](const core::Result<transport::Response>& other) {
        EXPECT_TRUE(other);
        second.set_value();
      });
    }).join();
    first.set_value();
  });
  first.get_future().get();
  second.get_future().get();
}

TEST_F(VisitTest, CallsOfManyThreadsAreAnswered) {
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (std::size_t i = 0; i < 200; ++i) {
        // Of either side of what is written by visitors.
        const std::size_t bytes = i % 10 == 0 ? transport::most_direct + t : i + t;
        const auto response = channel->call(echo(bytes));
        ASSERT_TRUE(response) << response.error().message();
        ASSERT_EQ(response->body.size(), bytes);
      }
    });
  for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace cleave::tests
