// The one header that includes Asio, for everybody. Only Boost 1.74's API is used: no cancellation
// slots, awaitable operators or channels; a deadline is a timer and a cancel.
#pragma once

// Boost 1.74's awaitable.hpp uses std::exchange without including it.
#include <utility>

// Clang 14 has coroutines in std, but Asio 1.74 looks for the older signs of them.
#if defined(__clang__)
#ifndef BOOST_ASIO_HAS_CO_AWAIT
#define BOOST_ASIO_HAS_CO_AWAIT 1
#endif
#ifndef BOOST_ASIO_HAS_STD_COROUTINE
#define BOOST_ASIO_HAS_STD_COROUTINE 1
#endif
#endif

#include <cleave/core/result.hpp>
#include <cleave/core/units.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <string>

namespace cleave::inline v0::transport {

namespace asio = boost::asio;
using boost::system::error_code;
using tcp = asio::ip::tcp;

inline std::chrono::steady_clock::duration duration_of(core::Seconds time) {
  return std::chrono::duration_cast<std::chrono::steady_clock::duration>(
      std::chrono::duration<double>(time.count()));
}

inline std::string to_string(const tcp::endpoint& endpoint) {
  return endpoint.address().to_string() + ":" + std::to_string(endpoint.port());
}

/// Opens, binds and listens. Errc::in_use, permission_denied or invalid_argument.
core::Result<void> listen_on(tcp::acceptor& acceptor, const std::string& address,
                             std::uint16_t port, int receive_buffer = 0);

/// Small messages go at once; unsent bytes in the kernel are kept few (0: as the kernel likes).
void tune(tcp::socket& socket, std::uint32_t unsent_low_water);

}  // namespace cleave::inline v0::transport
