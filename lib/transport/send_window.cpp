#include "lib/transport/send_window.hpp"

#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

namespace cleave::inline v0::transport {
namespace {

// Beyond what the path holds: the next chunk (Limits::chunk_time) must be there before the last one
// has left.
constexpr double slack = 0.0042;            // seconds, and
constexpr double slack_of_path = 1.0 / 8;   // of the shortest round trip
constexpr std::size_t least_window = 4096;  // bytes
constexpr double least_pause = 0.0005;      // seconds
constexpr double most_pause = 0.005;
// A link that carries so much in such a time makes nobody wait, and is not to wait for a timer.
constexpr double most_window = 1U << 20;

// Of the connection so far, as the kernel has seen it.
std::optional<double> shortest_round_trip(int socket) {
  // tcpi_min_rtt of the kernel's tcp_info; that of <netinet/tcp.h> may end before it.
  constexpr std::size_t offset = 148;
  std::uint32_t microseconds = 0;
  std::array<std::byte, offset + sizeof microseconds> info{};
  socklen_t size = info.size();
  if (::getsockopt(socket, IPPROTO_TCP, TCP_INFO, info.data(), &size) != 0 || size < info.size())
    return std::nullopt;
  std::memcpy(&microseconds, info.data() + offset, sizeof microseconds);
  if (microseconds == ~std::uint32_t{0})  // none seen yet
    return std::nullopt;
  return 1e-6 * microseconds;
}

}  // namespace

SendWindow::SendWindow(tcp::socket& socket, std::uint32_t unsent_low_water)
    : socket_(socket), limited_(unsent_low_water > 0), timer_(socket.get_executor()) {
  tune(socket_, unsent_low_water);
}

void SendWindow::pace(core::BytesPerSecond rate, std::size_t chunk) {
  if (!limited_ || !(rate.count() > 0))
    return;
  tune(socket_, static_cast<std::uint32_t>(std::min<std::size_t>(chunk, 1U << 30)));
  // Up at once: too small a window would be what the next rate measures.
  rate_ = rate.count() > rate_ ? rate.count() : (rate_ + rate.count()) / 2;
  const auto path = shortest_round_trip(socket_.native_handle());
  const double window = path ? rate_ * (*path * (1 + slack_of_path) + slack) : most_window;
  window_ = window < most_window ? std::max(static_cast<std::size_t>(window), least_window) : 0;
}

std::size_t SendWindow::on_the_way() const {
  int bytes = 0;
  if (::ioctl(const_cast<tcp::socket&>(socket_).native_handle(), SIOCOUTQ, &bytes) != 0)
    return 0;
  return static_cast<std::size_t>(std::max(bytes, 0));
}

asio::awaitable<void> SendWindow::ready(error_code& error) {
  error = {};
  while (window_ > 0) {
    const std::size_t bytes = on_the_way();
    if (bytes < window_)
      break;
    const double over = static_cast<double>(bytes - window_) / rate_;
    timer_.expires_after(duration_of(core::Seconds(std::clamp(over, least_pause, most_pause))));
    co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, error));
    if (error)
      co_return;
    if (!socket_.is_open()) {
      error = asio::error::operation_aborted;
      co_return;
    }
  }
  co_await socket_.async_wait(tcp::socket::wait_write,
                              asio::redirect_error(asio::use_awaitable, error));
}

}  // namespace cleave::inline v0::transport
