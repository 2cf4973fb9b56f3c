// A name server that does not answer.
#include "tests/support/quick_link.hpp"

#include <cleave/runtime/cloud_link.hpp>
#include <cleave/transport/channel.hpp>
#include <cleave/transport/server.hpp>

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <netdb.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <string_view>

namespace {

// What getaddrinfo() asks about names that end in ".silent".
class SilentServer {
 public:
  void look_up() {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    // At last, so that a test fails and does not hang.
    changed_.wait_for(lock, std::chrono::minutes(1), [this] { return answers_; });
    --waiting_;
    changed_.notify_all();
  }
  void wait_for(int waiting) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return waiting_ == waiting; });
  }
  [[nodiscard]] int waiting() {
    const std::lock_guard lock(mutex_);
    return waiting_;
  }
  void answer() {
    const std::lock_guard lock(mutex_);
    answers_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int waiting_ = 0;
  bool answers_ = false;
};

// Outlives the threads that look up.
SilentServer& silent_server() {
  static auto* const server = new SilentServer;
  return *server;
}

}  // namespace

extern "C" int getaddrinfo(const char* node, const char* service, const addrinfo* hints,
                           addrinfo** found) {
  static const auto real =
      reinterpret_cast<decltype(&::getaddrinfo)>(::dlsym(RTLD_NEXT, "getaddrinfo"));
  const std::string_view name = node != nullptr ? node : "";
  if (name.ends_with(".silent")) {
    silent_server().look_up();
    return EAI_AGAIN;
  }
  if (name.ends_with(".unknown"))
    return EAI_NONAME;
  return real(node, service, hints, found);
}

namespace cleave::tests {
namespace {

TEST(NameLookup, ALinkThatGoesDoesNotWaitForTheNameServer) {
  const auto clock = std::make_shared<core::SteadyClock>();
  runtime::CloudLinkOptions options = quiet_link(1);
  options.host = "cloud.silent";
  options.clock = clock;
  options.connect_timeout = core::Seconds(3600);
  {
    const runtime::CloudLink link(options);
    silent_server().wait_for(1);
  }
  EXPECT_EQ(silent_server().waiting(), 1);
  EXPECT_EQ(clock.use_count(), 2);  // here and in the options
  silent_server().answer();
  silent_server().wait_for(0);
}

TEST(NameLookup, AKnownNameIsFoundAndAnotherIsSaidToBeUnknown) {
  const auto server = transport::Server::listen({});
  ASSERT_TRUE(server) << server.error().message();
  transport::ChannelOptions options;
  options.port = (*server)->port();
  options.host = "localhost";
  const auto channel = transport::Channel::connect(options);
  EXPECT_TRUE(channel) << channel.error().message();
  options.host = "cloud.unknown";
  const auto unknown = transport::Channel::connect(options);
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, core::Errc::unavailable);
  EXPECT_NE(unknown.error().what.find("no such host"), std::string::npos);
}

}  // namespace
}  // namespace cleave::tests
