// TLS on a socket that never blocks. OpenSSL is driven directly: it reads from the socket many
// records at a time, and writes into memory, from where several records leave in one call.
#include "lib/transport/socket_stream.hpp"
#include "lib/transport/tls_context.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

namespace cleave::inline v0::transport {
namespace {

using core::Errc;

// RFC 8446: the most plaintext of a record.
constexpr std::size_t max_record = 16384;
// Ciphertext that is made before it is sent: few calls, and little that nothing can overtake.
constexpr std::size_t most_staged = 4 * max_record;
// A peer that has us answer (key updates) and does not read is given up on beyond this.
constexpr std::size_t staged_limit = 4 * most_staged;
// Bytes of a refused peer that are read and thrown away, so that closing does not reset the
// connection under the alert that tells it so.
constexpr std::size_t most_lingering = 64U << 10;

// Between OpenSSL and the socket.
struct Wire {
  int fd = -1;
  std::vector<std::byte> staged;
  std::size_t sent = 0;  // of staged
  bool ended = false;    // the peer has closed
  int broken = 0;        // errno of what broke
};

int wire_read(BIO* bio, char* into, std::size_t size, std::size_t* count) {
  auto& wire = *static_cast<Wire*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  ssize_t got = 0;
  do got = ::recv(wire.fd, into, size, 0);
  while (got < 0 && errno == EINTR);
  *count = got > 0 ? static_cast<std::size_t>(got) : 0;
  if (got > 0)
    return 1;
  if (got == 0)
    wire.ended = true;
  else if (errno == EAGAIN || errno == EWOULDBLOCK)
    BIO_set_retry_read(bio);
  else
    wire.broken = errno;
  return 0;
}

int wire_write(BIO* bio, const char* from, std::size_t size, std::size_t* count) {
  auto& wire = *static_cast<Wire*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  if (wire.staged.size() - wire.sent + size > staged_limit) {
    wire.broken = ENOBUFS;
    return 0;
  }
  const auto* const bytes = reinterpret_cast<const std::byte*>(from);
  wire.staged.insert(wire.staged.end(), bytes, bytes + size);
  *count = size;
  return 1;
}

long wire_control(BIO* bio, int what, long, void*) {
  if (what == BIO_CTRL_EOF)
    return static_cast<const Wire*>(BIO_get_data(bio))->ended ? 1 : 0;
  return what == BIO_CTRL_FLUSH ? 1 : 0;
}

const BIO_METHOD* wire_method() {
  static const std::unique_ptr<BIO_METHOD, FreeBy<BIO_meth_free>> method = [] {
    std::unique_ptr<BIO_METHOD, FreeBy<BIO_meth_free>> made(
        BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "cleave socket"));
    if (made) {
      BIO_meth_set_read_ex(made.get(), wire_read);
      BIO_meth_set_write_ex(made.get(), wire_write);
      BIO_meth_set_ctrl(made.get(), wire_control);
      BIO_meth_set_create(made.get(), [](BIO* bio) {
        BIO_set_init(bio, 1);
        return 1;
      });
    }
    return made;
  }();
  return method.get();
}

class TlsStream final : public SocketStream {
 public:
  TlsStream(tcp::socket connected, std::shared_ptr<const TlsContext> context,
            std::uint32_t unsent_low_water)
      : SocketStream(std::move(connected), unsent_low_water), context_(std::move(context)) {
    wire_.fd = socket().native_handle();
    auto ssl = context_->make_ssl();
    if (!ssl) {
      failure_ = ssl.error();
      return;
    }
    BIO* const bio = BIO_new(wire_method());
    if (bio == nullptr) {
      failure_ = {Errc::exhausted, "OpenSSL: " + openssl_complaint(), {}, {}};
      return;
    }
    BIO_set_data(bio, &wire_);
    SSL_set_bio(ssl->get(), bio, bio);
    ssl_ = std::move(*ssl);
  }

  asio::awaitable<void> handshake(error_code& error) override {
    error = ssl_ ? error_code() : asio::error::connection_aborted;
    while (!error && !failed()) {
      ERR_clear_error();
      const int done = SSL_do_handshake(ssl_.get());
      const int why = done == 1 ? SSL_ERROR_NONE : SSL_get_error(ssl_.get(), done);
      if (why != SSL_ERROR_NONE && why != SSL_ERROR_WANT_READ)
        explain_handshake(why);
      // What OpenSSL has said leaves first, be it an alert.
      while (!send_staged(error) && error == asio::error::would_block)
        co_await ready(Wait::write, error);
      if (error || done == 1)
        break;
      if (why == SSL_ERROR_WANT_READ)
        co_await ready(Wait::read, error);
    }
    if (!failed())
      co_return;
    if (!error && context_->server())
      co_await linger();
    error = asio::error::connection_aborted;
  }

  std::size_t read(std::span<const asio::mutable_buffer> into, error_code& error) override {
    error = {};
    std::size_t total = 0;
    for (asio::mutable_buffer rest : into)
      while (rest.size() > 0 && !error) {
        if (read_error_) {
          error = read_error_;
          break;
        }
        ERR_clear_error();
        std::size_t count = 0;
        const int done = SSL_read_ex(ssl_.get(), rest.data(), rest.size(), &count);
        if (done == 1) {
          total += count;
          rest += count;
          continue;
        }
        error = why_not_read(SSL_get_error(ssl_.get(), done));
        if (error != asio::error::would_block)
          read_error_ = error;
      }
    // Answers of OpenSSL's own, to a key update say. What does not fit goes with the next write.
    error_code ignored;
    send_staged(ignored);
    if (total > 0)
      error = {};
    return total;
  }

  // Bytes count as written when their records are with the kernel. Until then the caller must offer
  // them again, as it does by going on behind what was written.
  std::size_t write(std::span<const asio::const_buffer> from, error_code& error) override {
    error = {};
    if (full()) {
      error = asio::error::would_block;
      return 0;
    }
    Cursor rest(from);
    rest.skip(ahead_);
    std::size_t written = 0;
    while (true) {
      while (staged() < staged_wanted_ && !rest.empty()) {
        const auto piece = rest.take(record_, max_record);
        ERR_clear_error();
        std::size_t count = 0;
        if (SSL_write_ex(ssl_.get(), piece.data(), piece.size(), &count) != 1 ||
            count != piece.size()) {
          fail_with({Errc::internal, "TLS cannot send: " + openssl_complaint(), {}, {}});
          error = asio::error::connection_aborted;
          return 0;
        }
        ahead_ += count;
      }
      if (!send_staged(error))
        break;
      written += std::exchange(ahead_, 0);
      if (rest.empty())
        break;
    }
    if (written > 0)
      error = {};
    return written;
  }

  void pace(core::BytesPerSecond rate, std::size_t chunk) override {
    staged_wanted_ = std::clamp(chunk, max_record, most_staged);
    SocketStream::pace(rate, chunk);
  }

  void close() override {
    error_code ignored;
    if (ssl_ && !failed() && !read_error_ && SSL_is_init_finished(ssl_.get()) == 1 &&
        socket().is_open()) {
      ERR_clear_error();
      SSL_shutdown(ssl_.get());
      ERR_clear_error();
      send_staged(ignored);
    }
    SocketStream::close();
  }

  [[nodiscard]] const core::Error* failure() const override {
    return failed() ? &failure_ : nullptr;
  }

 private:
  // Walks over the buffers of a write in pieces for records: small ones are gathered, large ones
  // are taken where they lie.
  class Cursor {
   public:
    explicit Cursor(std::span<const asio::const_buffer> buffers) : buffers_(buffers) { settle(); }
    [[nodiscard]] bool empty() const { return buffers_.empty(); }
    void skip(std::size_t count) {
      while (count > 0 && !empty()) count -= advance(count);
    }
    std::span<const std::byte> take(std::array<std::byte, max_record>& gathered, std::size_t most) {
      if (now().size() >= most || buffers_.size() == 1) {
        // Whole records at once: OpenSSL cuts them itself.
        const std::size_t size =
            std::min(now().size() < most ? now().size() : now().size() / most * most, most_staged);
        const std::span piece(static_cast<const std::byte*>(now().data()), size);
        advance(size);
        return piece;
      }
      std::size_t size = 0;
      while (size < most && !empty()) {
        const std::size_t count = std::min(most - size, now().size());
        std::copy_n(static_cast<const std::byte*>(now().data()), count, gathered.data() + size);
        size += advance(count);
      }
      return std::span(gathered).first(size);
    }

   private:
    [[nodiscard]] asio::const_buffer now() const { return buffers_.front() + done_; }
    std::size_t advance(std::size_t count) {
      count = std::min(count, now().size());
      done_ += count;
      settle();
      return count;
    }
    void settle() {
      while (!buffers_.empty() && done_ == buffers_.front().size()) {
        buffers_ = buffers_.subspan(1);
        done_ = 0;
      }
    }
    std::span<const asio::const_buffer> buffers_;
    std::size_t done_ = 0;  // of the first
  };

  [[nodiscard]] std::size_t staged() const { return wire_.staged.size() - wire_.sent; }

  // True when nothing is left to send; else error tells why.
  bool send_staged(error_code& error) {
    error = {};
    while (staged() > 0) {
      // MSG_NOSIGNAL: a peer that went away is an error value, in a program of any kind.
      const ssize_t count =
          ::send(wire_.fd, wire_.staged.data() + wire_.sent, staged(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (count >= 0) {
        wire_.sent += static_cast<std::size_t>(count);
      } else if (errno != EINTR) {
        error = errno == EAGAIN || errno == EWOULDBLOCK
                    ? error_code(asio::error::would_block)
                    : error_code(errno, boost::system::system_category());
        return false;
      }
    }
    wire_.staged.clear();
    wire_.sent = 0;
    return true;
  }

  error_code why_not_read(int why) {
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
      return asio::error::would_block;
    if (why == SSL_ERROR_ZERO_RETURN || wire_.ended)
      return asio::error::eof;
    if (wire_.broken != 0 && wire_.broken != ENOBUFS)
      return {wire_.broken, boost::system::system_category()};
    explain(ERR_GET_REASON(ERR_peek_error()));
    return asio::error::connection_aborted;
  }

  void explain_handshake(int why) {
    const int reason = ERR_GET_REASON(ERR_peek_error());
    if (const long verdict = SSL_get_verify_result(ssl_.get());
        !context_->server() && reason == SSL_R_CERTIFICATE_VERIFY_FAILED && verdict != X509_V_OK)
      return explain_certificate(verdict);
    if (why == SSL_ERROR_SSL && !wire_.ended && wire_.broken == 0) {
      if (context_->server() && reason == SSL_R_WRONG_VERSION_NUMBER)
        say_that_it_is_tls();
      return explain(reason);
    }
    ERR_clear_error();
    fail_with({Errc::unavailable,
               wire_.broken != 0
                   ? "the connection broke during the TLS handshake: " +
                         error_code(wire_.broken, boost::system::system_category()).message()
                   : "the peer closed the connection during the TLS handshake",
               {},
               {}});
  }

  // OpenSSL says nothing to who speaks no TLS; a plaintext client of ours knows an alert when it
  // sees one (fatal, unexpected_message; RFC 8446, 6).
  void say_that_it_is_tls() {
    for (const int byte : {0x15, 3, 3, 0, 2, 2, 10})
      wire_.staged.push_back(static_cast<std::byte>(byte));
  }

  // The client's view of the server's certificate.
  void explain_certificate(long verdict) {
    core::Error error{Errc::permission_denied, {}, {}, {}};
    switch (verdict) {
      case X509_V_ERR_CERT_HAS_EXPIRED:
        error.what = "the server's certificate has expired";
        error.hint = "it must be renewed; is this machine's clock right?";
        break;
      case X509_V_ERR_CERT_NOT_YET_VALID:
        error.what = "the server's certificate is not valid yet";
        error.hint = "is this machine's clock right?";
        break;
      case X509_V_ERR_HOSTNAME_MISMATCH:
      case X509_V_ERR_IP_ADDRESS_MISMATCH:
        error.what = "the server's certificate is for another name than this";
        error.hint = "use a name or address that it is for";
        break;
      case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
      case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
      case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
      case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
      case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
      case X509_V_ERR_CERT_SIGNATURE_FAILURE:
        error.what = "nobody trusted here has signed the server's certificate";
        error.hint = "name the authority that did by a file (--ca)";
        break;
      default:
        error.what = std::string("the server's certificate is not accepted: ") +
                     X509_verify_cert_error_string(verdict);
    }
    ERR_clear_error();
    fail_with(std::move(error));
  }

  void explain(int reason) {
    core::Error error{Errc::permission_denied, {}, {}, {}};
    const bool server = context_->server();
    switch (reason) {
      case SSL_R_WRONG_VERSION_NUMBER:
      case SSL_R_HTTP_REQUEST:
      case SSL_R_PACKET_LENGTH_TOO_LONG:
      case SSL_R_BAD_RECORD_TYPE:
        error = {Errc::corrupt,
                 "the peer does not speak TLS",
                 {},
                 server ? "" : "is this the right port, and is the server not told --insecure?"};
        break;
      case SSL_R_UNSUPPORTED_PROTOCOL:
      case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
        error = {Errc::version, "the peer does not speak TLS 1.3", {}, "update it"};
        break;
      case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        error.what = "no client certificate";
        break;
      case SSL_R_CERTIFICATE_VERIFY_FAILED: {
        const auto* const why = static_cast<const char*>(SSL_get_app_data(ssl_.get()));
        error.what = std::string("the client's certificate is not accepted: ") +
                     (why != nullptr ? why : "no reason given");
        break;
      }
      case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
        error.what = "the server asks for a certificate of this client";
        error.hint = "give one and its key (--cert, --key)";
        break;
      case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
        error.what = server ? "the client does not accept this server's certificate"
                            : "the server does not accept this client's certificate";
        error.hint = server ? "" : "the server's log tells why";
        break;
      case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
      case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
      case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
      case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
        error.what = "the peer does not accept this side's certificate: " + openssl_complaint();
        break;
      default:
        error = {Errc::corrupt, "TLS: " + openssl_complaint(), {}, {}};
    }
    ERR_clear_error();
    fail_with(std::move(error));
  }

  // Lets the alert arrive: until the peer has closed, or has said more than it should.
  asio::awaitable<void> linger() {
    error_code error;
    socket().shutdown(tcp::socket::shutdown_send, error);
    std::array<std::byte, 4096> thrown_away;
    for (std::size_t total = 0; !error && total < most_lingering;) {
      co_await ready(Wait::read, error);
      if (!error)
        total += socket().read_some(asio::buffer(thrown_away), error);
      if (error == asio::error::would_block)
        error = {};
    }
  }

  [[nodiscard]] bool failed() const { return !failure_.what.empty(); }
  void fail_with(core::Error error) {
    if (!failed())
      failure_ = std::move(error);
  }

  std::shared_ptr<const TlsContext> context_;
  Wire wire_;
  SslPtr ssl_;  // after what its BIO points to
  std::array<std::byte, max_record> record_{};
  std::size_t staged_wanted_ = most_staged;
  std::size_t ahead_ = 0;  // plaintext whose records are staged, at the front of the next write
  error_code read_error_;
  core::Error failure_;
};

}  // namespace

std::unique_ptr<Stream> make_tls_stream(tcp::socket socket,
                                        std::shared_ptr<const TlsContext> context,
                                        std::uint32_t unsent_low_water) {
  return std::make_unique<TlsStream>(std::move(socket), std::move(context), unsent_low_water);
}

}  // namespace cleave::inline v0::transport
