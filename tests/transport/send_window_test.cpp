#include "lib/transport/send_window.hpp"

#include <gtest/gtest.h>

#include <array>
#include <vector>

namespace {

using namespace cleave;
using core::BytesPerSecond;
using transport::error_code;
using transport::SendWindow;
using transport::tcp;
namespace asio = boost::asio;

const SendWindow::Path queued{core::milliseconds(60), core::milliseconds(1), 200000};
const SendWindow::Path empty{core::milliseconds(1), core::milliseconds(1), 0};

// Two ends of a connection; the far one reads when it is told to.
class SendWindowTest : public testing::Test {
 protected:
  SendWindowTest() {
    tcp::acceptor acceptor(context_, {asio::ip::address_v4::loopback(), 0});
    // What the far end does not read soon fills its buffer, and then stays with the near one.
    acceptor.set_option(asio::socket_base::receive_buffer_size(16 << 10));
    near_.connect(acceptor.local_endpoint());
    far_ = acceptor.accept();
    near_.non_blocking(true);
  }

  // Writes until the kernel takes no more.
  std::size_t fill() {
    const std::vector<char> bytes(64 << 10);
    std::size_t total = 0;
    for (error_code error; !error;) total += near_.write_some(asio::buffer(bytes), error);
    return total;
  }
  void drain(std::size_t bytes) {
    std::vector<char> into(bytes);
    asio::read(far_, asio::buffer(into));
  }

  asio::io_context context_;
  tcp::socket near_{context_}, far_{context_};
};

TEST_F(SendWindowTest, IsFullWhileThePeerHasNotTakenWhatTheLinkHolds) {
  SendWindow window(near_, 128U << 10);
  const std::size_t sent = fill();
  EXPECT_FALSE(window.full());  // nothing is known of the link
  window.pace(BytesPerSecond(1e6), queued);
  EXPECT_TRUE(window.active());
  EXPECT_TRUE(window.full());
  bool ready = false;
  asio::co_spawn(
      context_,
      [&]() -> asio::awaitable<void> {
        error_code error;
        co_await window.ready(error);
        EXPECT_FALSE(error);
        ready = true;
      },
      asio::detached);
  context_.run_one();
  EXPECT_FALSE(ready);
  drain(sent);
  context_.run();
  EXPECT_TRUE(ready);
  EXPECT_FALSE(window.full());
}

TEST_F(SendWindowTest, NeedsAQueueAndGrowsWhereThereIsNone) {
  SendWindow window(near_, 128U << 10);
  fill();
  window.pace(BytesPerSecond(1e6), empty);
  EXPECT_FALSE(window.active());  // a slow sender, say
  window.pace(BytesPerSecond(1e6), {core::milliseconds(40), core::milliseconds(1), 3000});
  EXPECT_FALSE(window.active());  // acknowledgements held back
  window.pace(BytesPerSecond(1e6), queued);
  EXPECT_TRUE(window.active());
  // A rate that the window itself keeps low does not make it smaller.
  int times = 0;
  for (double rate = 1e6; window.active(); rate /= 2, ++times) {
    ASSERT_LT(times, 30);
    window.pace(BytesPerSecond(rate), empty);
  }
  EXPECT_GT(times, 3);  // and is not given up at once
}

TEST_F(SendWindowTest, AFastLinkHasNone) {
  SendWindow window(near_, 128U << 10);
  fill();
  window.pace(BytesPerSecond(1e9), queued);
  EXPECT_FALSE(window.active());
  EXPECT_FALSE(window.full());
}

TEST_F(SendWindowTest, WhoLeavesItToTheKernelHasNone) {
  SendWindow window(near_, 0);
  fill();
  window.pace(BytesPerSecond(1e5), queued);
  EXPECT_FALSE(window.full());
}

TEST_F(SendWindowTest, CancelEndsTheWait) {
  SendWindow window(near_, 128U << 10);
  fill();
  window.pace(BytesPerSecond(1e5), queued);
  error_code why;
  asio::co_spawn(
      context_, [&]() -> asio::awaitable<void> { co_await window.ready(why); }, asio::detached);
  context_.run_one();
  window.cancel();
  context_.run();
  EXPECT_EQ(why, asio::error::operation_aborted);
}

}  // namespace
