// The same framed messages over OpenSSL on a blocking socket, TLS 1.3 with one cipher.
#include "bench/link/framed.hpp"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <algorithm>
#include <climits>

namespace bench_link {
namespace {

template <auto release>
struct Release {
  template <class T>
  void operator()(T* pointer) const {
    release(pointer);
  }
};
using Context = std::unique_ptr<SSL_CTX, Release<SSL_CTX_free>>;
using Session = std::unique_ptr<SSL, Release<SSL_free>>;
using Key = std::unique_ptr<EVP_PKEY, Release<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Release<X509_free>>;

[[noreturn]] void failed(const char* what) {
  char text[256] = "no reason given";
  if (const unsigned long code = ERR_get_error(); code != 0)
    ERR_error_string_n(code, text, sizeof text);
  throw std::runtime_error(std::string(what) + ": " + text);
}

Context context_for(bool server, const std::string& cipher) {
  Context context(SSL_CTX_new(server ? TLS_server_method() : TLS_client_method()));
  if (!context || SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_ciphersuites(context.get(), cipher.c_str()) != 1)
    failed("TLS");
  SSL_CTX_set_read_ahead(context.get(), 1);
  SSL_CTX_set_mode(context.get(), SSL_MODE_AUTO_RETRY);
  if (!server)
    return context;
  // A certificate that nobody checks: what is measured comes after the handshake.
  const Key key(EVP_EC_gen("P-256"));
  const Certificate certificate(X509_new());
  if (!key || !certificate || X509_set_version(certificate.get(), 2) != 1 ||
      ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1) != 1 ||
      X509_gmtime_adj(X509_getm_notBefore(certificate.get()), 0) == nullptr ||
      X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 86400) == nullptr ||
      X509_set_pubkey(certificate.get(), key.get()) != 1 ||
      X509_sign(certificate.get(), key.get(), EVP_sha256()) == 0 ||
      SSL_CTX_use_certificate(context.get(), certificate.get()) != 1 ||
      SSL_CTX_use_PrivateKey(context.get(), key.get()) != 1)
    failed("a certificate");
  return context;
}

class TlsPipe final : public Pipe {
 public:
  TlsPipe(tcp::socket socket, bool server, const std::string& cipher)
      : socket_(std::move(socket)),
        context_(context_for(server, cipher)),
        session_(SSL_new(context_.get())) {
    socket_.set_option(tcp::no_delay(true));
    if (!session_ || SSL_set_fd(session_.get(), socket_.native_handle()) != 1 ||
        (server ? SSL_accept(session_.get()) : SSL_connect(session_.get())) != 1)
      failed("the handshake");
  }

  void write(std::span<const std::byte> head, std::span<const std::byte> body,
             std::size_t call) override {
    write_all(head, head.size());
    write_all(body, call);
  }

  std::size_t read(std::span<std::byte> into) override {
    std::size_t count = 0;
    if (SSL_read_ex(session_.get(), into.data(), into.size(), &count) == 1)
      return count;
    // An end without a farewell is an end, too.
    const int why = SSL_get_error(session_.get(), 0);
    if (why == SSL_ERROR_ZERO_RETURN || why == SSL_ERROR_SYSCALL || why == SSL_ERROR_SSL)
      return 0;
    failed("SSL_read");
  }

 private:
  void write_all(std::span<const std::byte> bytes, std::size_t call) {
    while (!bytes.empty()) {
      std::size_t count = 0;
      if (SSL_write_ex(session_.get(), bytes.data(), std::min(call, bytes.size()), &count) != 1)
        failed("SSL_write");
      bytes = bytes.subspan(count);
    }
  }

  tcp::socket socket_;
  Context context_;
  Session session_;
};

MakePipe maker(bool server, const std::string& cipher) {
  return [server, cipher](tcp::socket socket) {
    return std::make_unique<TlsPipe>(std::move(socket), server, cipher);
  };
}

}  // namespace

Peer tls_peer(const std::string& cipher) {
  return {
      "tls",
      [cipher](const std::string& address) { return framed_server(address, maker(true, cipher)); },
      [cipher](const Place& server) { return framed_client(server, maker(false, cipher)); }};
}

}  // namespace bench_link
