// OpenSSL on a blocking socket, written down as its manual does: what the library's TLS is tested
// and measured against.
#pragma once

#include "lib/transport/openssl.hpp"

#include <sys/socket.h>

#include <cstddef>
#include <span>
#include <string>

namespace cleave::tests {

class RawTls {
 public:
  struct Options {
    bool server = false;
    int version = TLS1_3_VERSION;  // and no other
    std::string certificate, key;  // files
    std::string suites;            // OpenSSL's choice if empty
  };

  // Takes no part in closing `socket`.
  RawTls(int socket, const Options& options)
      : context_(SSL_CTX_new(options.server ? TLS_server_method() : TLS_client_method())) {
    SSL_CTX_set_min_proto_version(context_.get(), options.version);
    SSL_CTX_set_max_proto_version(context_.get(), options.version);
    if (!options.suites.empty())
      SSL_CTX_set_ciphersuites(context_.get(), options.suites.c_str());
    if (!options.certificate.empty()) {
      SSL_CTX_use_certificate_chain_file(context_.get(), options.certificate.c_str());
      SSL_CTX_use_PrivateKey_file(context_.get(), options.key.c_str(), SSL_FILETYPE_PEM);
    }
    ssl_.reset(SSL_new(context_.get()));
    SSL_set_fd(ssl_.get(), socket);
    shaken_ = (options.server ? SSL_accept(ssl_.get()) : SSL_connect(ssl_.get())) == 1;
  }

  [[nodiscard]] bool shaken() const { return shaken_; }
  bool write(std::span<const std::byte> bytes) {
    std::size_t done = 0;
    return SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &done) == 1;
  }
  // 0: the end.
  std::size_t read(std::span<std::byte> into) {
    std::size_t count = 0;
    return SSL_read_ex(ssl_.get(), into.data(), into.size(), &count) == 1 ? count : 0;
  }
  [[nodiscard]] std::string cipher() const { return SSL_get_cipher_name(ssl_.get()); }

 private:
  transport::SslContextPtr context_;
  transport::SslPtr ssl_;
  bool shaken_ = false;
};

}  // namespace cleave::tests
