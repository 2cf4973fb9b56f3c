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
constexpr double slack = 0.0042;           // seconds, and
constexpr double slack_of_path = 1.0 / 8;  // of the shortest round trip
constexpr double least_window = 4096;      // bytes
// A link that carries so much in such a time makes nobody wait, and is not to wait for a timer.
constexpr double most_window = 1U << 20;
constexpr double least_pause = 0.001;  // seconds
constexpr double most_pause = 0.005;
// How long a packet queues for: what calls for a window, for a smaller one, for a larger one. With
// the window as it should be it is one to two chunks.
constexpr double long_queue = 2.5 * slack, longish_queue = slack, short_queue = slack / 4;
constexpr double growth = 1.25;

std::size_t not_acknowledged(int socket) {
  int bytes = 0;
  if (::ioctl(socket, SIOCOUTQ, &bytes) != 0)
    return 0;
  return static_cast<std::size_t>(std::max(bytes, 0));
}

std::optional<SendWindow::Path> path_of(int socket) {
  // tcpi_rtt and tcpi_min_rtt of the kernel's tcp_info; that of <netinet/tcp.h> may end before.
  constexpr std::size_t rtt_at = 68, unsent_at = 144, min_rtt_at = 148;
  std::uint32_t rtt = 0, unsent = 0, min_rtt = 0;  // us, bytes, us
  std::array<std::byte, min_rtt_at + sizeof min_rtt> info{};
  socklen_t size = info.size();
  if (::getsockopt(socket, IPPROTO_TCP, TCP_INFO, info.data(), &size) != 0 || size < info.size())
    return std::nullopt;
  std::memcpy(&rtt, info.data() + rtt_at, sizeof rtt);
  std::memcpy(&unsent, info.data() + unsent_at, sizeof unsent);
  std::memcpy(&min_rtt, info.data() + min_rtt_at, sizeof min_rtt);
  if (min_rtt == ~std::uint32_t{0})  // none seen yet
    return std::nullopt;
  const std::size_t queued = not_acknowledged(socket);
  return SendWindow::Path{core::Seconds(1e-6 * rtt), core::Seconds(1e-6 * min_rtt),
                          queued - std::min<std::size_t>(queued, unsent)};
}

}  // namespace

SendWindow::SendWindow(tcp::socket& socket, std::uint32_t unsent_low_water)
    : socket_(socket), limited_(unsent_low_water > 0), timer_(socket.get_executor()) {
  tune(socket_, unsent_low_water);
}

void SendWindow::pace(core::BytesPerSecond rate, std::size_t chunk) {
  if (!limited_)
    return;
  tune(socket_, static_cast<std::uint32_t>(std::min<std::size_t>(chunk, 1U << 30)));
  if (const auto path = path_of(socket_.native_handle()))
    pace(rate, *path);
}

void SendWindow::pace(core::BytesPerSecond rate, const Path& path) {
  if (!limited_ || !(rate.count() > 0))
    return;
  rate_ = rate.count();
  const double late = path.round_trip.count() - path.shortest.count();
  const double queue =
      std::min(late, static_cast<double>(path.under_way) / rate_ - path.shortest.count());
  const double enough =
      std::max(rate_ * (path.shortest.count() * (1 + slack_of_path) + slack), least_window);
  if (window_ == 0)
    window_ = queue > long_queue ? enough : 0;
  else if (enough > window_)
    window_ = enough;
  else if (queue > longish_queue)
    window_ = (window_ + enough) / 2;
  else if (late < short_queue)
    window_ *= growth;
  if (window_ >= most_window)
    window_ = 0;
}

std::size_t SendWindow::on_the_way() const {
  return not_acknowledged(socket_.native_handle());
}

asio::awaitable<void> SendWindow::ready(error_code& error) {
  error = {};
  while (window_ > 0) {
    const auto bytes = static_cast<double>(on_the_way());
    if (bytes < window_)
      break;
    const double over = (bytes - window_) / rate_;
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
