#include "lib/transport/asio.hpp"

#include <netinet/tcp.h>
#include <sys/socket.h>

namespace cleave::inline v0::transport {

core::Result<void> listen_on(tcp::acceptor& acceptor, const std::string& address,
                             std::uint16_t port, int receive_buffer) {
  const std::string where = address + ":" + std::to_string(port);
  error_code error;
  const auto ip = asio::ip::make_address(address, error);
  if (error)
    return core::fail(core::Errc::invalid_argument, "no such address to listen on", where,
                      "give a numeric address: 127.0.0.1 for this machine only, 0.0.0.0 for all");
  const tcp::endpoint endpoint(ip, port);
  acceptor.open(endpoint.protocol(), error);
  if (!error)
    acceptor.set_option(asio::socket_base::reuse_address(true), error);
  // Accepted sockets inherit it, and the window is agreed on before accept() returns.
  if (!error && receive_buffer > 0)
    acceptor.set_option(asio::socket_base::receive_buffer_size(receive_buffer), error);
  if (!error)
    acceptor.bind(endpoint, error);
  if (!error)
    acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (!error)
    return {};
  if (error == asio::error::address_in_use)
    return core::fail(core::Errc::in_use, "the port is taken", where,
                      "stop what listens there (ss -ltnp shows it), or choose another port");
  if (error == asio::error::access_denied)
    return core::fail(core::Errc::permission_denied, "not allowed to listen", where,
                      "ports below 1024 need CAP_NET_BIND_SERVICE; choose a higher one");
  return core::fail(core::Errc::invalid_argument, "cannot listen: " + error.message(), where,
                    "is it an address of this machine?");
}

void tune(tcp::socket& socket, std::uint32_t unsent_low_water) {
  // Both only make things faster; a socket that refuses them still carries every byte.
  error_code ignored;
  socket.set_option(tcp::no_delay(true), ignored);
#ifdef TCP_NOTSENT_LOWAT
  if (unsent_low_water > 0) {
    const int value = static_cast<int>(unsent_low_water);
    ::setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &value, sizeof value);
  }
#endif
}

}  // namespace cleave::inline v0::transport
