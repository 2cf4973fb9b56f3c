#include "lib/transport/tls_context.hpp"

#include <cleave/core/file.hpp>

#include <openssl/x509v3.h>
#include <sys/stat.h>
#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace cleave::inline v0::transport {
namespace {

using core::Errc;
using core::fail;
using core::Result;

// Bytes read from the socket at a time: several records of 16 KiB.
constexpr std::size_t read_ahead = 128U << 10;
// All authorities of a system are a quarter of a megabyte.
constexpr std::size_t max_pem_file = 16U << 20;

bool is_loopback_name(std::string_view host) {
  if (host == "localhost")
    return true;
  error_code error;
  const auto address = asio::ip::make_address(std::string(host), error);
  return !error && address.is_loopback();
}

bool has_aes_instructions() {
#if defined(__x86_64__) || defined(__i386__)
  return __builtin_cpu_supports("aes") != 0 && __builtin_cpu_supports("pclmul") != 0;
#elif defined(__aarch64__)
  return (::getauxval(AT_HWCAP) & HWCAP_AES) != 0;
#else
  return false;
#endif
}

// Read before OpenSSL reads it: its own words for a missing file are about system libraries.
Result<void> check_readable(const std::string& path, bool secret) {
  if (const auto text = core::read_text(path, max_pem_file); !text)
    return fail(text);
  struct stat info {};
  if (secret && ::stat(path.c_str(), &info) == 0 && (info.st_mode & S_IRWXO) != 0)
    return fail(Errc::permission_denied, "a private key that everybody may read", path,
                "chmod 600 it, and think of who has read it");
  return {};
}

Result<void> load_identity(SSL_CTX* context, const std::string& certificate,
                           const std::string& key) {
  if (certificate.empty() || key.empty())
    return fail(Errc::invalid_argument, "a certificate and its private key belong together",
                certificate.empty() ? key : certificate, "give both files");
  if (auto readable = check_readable(certificate, false); !readable)
    return readable;
  if (auto readable = check_readable(key, true); !readable)
    return readable;
  // A key with a password is an error, not a question on the terminal.
  SSL_CTX_set_default_passwd_cb(context, [](char*, int, int, void*) { return -1; });
  if (SSL_CTX_use_certificate_chain_file(context, certificate.c_str()) != 1)
    return fail(Errc::corrupt, "not a certificate in PEM: " + openssl_complaint(), certificate,
                "`cleave cert` makes one");
  if (SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) != 1)
    return fail(Errc::corrupt, "not the certificate's private key in PEM: " + openssl_complaint(),
                key, "it must have no password, and belong to " + certificate);
  return {};
}

Result<void> load_authorities(SSL_CTX* context, const std::string& path) {
  if (auto readable = check_readable(path, false); !readable)
    return readable;
  if (SSL_CTX_load_verify_file(context, path.c_str()) != 1)
    return fail(Errc::corrupt, "no certificates in PEM: " + openssl_complaint(), path);
  return {};
}

// What client and server have in common.
Result<SslContextPtr> make_context() {
  ERR_clear_error();
  SslContextPtr context(SSL_CTX_new(TLS_method()));
  if (!context || SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_max_proto_version(context.get(), 0) != 1 ||
      SSL_CTX_set_ciphersuites(context.get(), cipher_suites().c_str()) != 1 ||
      SSL_CTX_set1_groups_list(context.get(), "X25519:P-256:P-384") != 1)
    return fail(Errc::unsupported, "OpenSSL offers no TLS 1.3: " + openssl_complaint());
  // A connection lives long and a handshake is one round trip either way, so there is nothing to
  // resume, and nothing to remember of clients.
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context.get(), 0);
  SSL_CTX_set_max_early_data(context.get(), 0);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                         SSL_OP_CIPHER_SERVER_PREFERENCE |
                                         SSL_OP_PRIORITIZE_CHACHA);
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_read_ahead(context.get(), 1);
  SSL_CTX_set_default_read_buffer_len(context.get(), read_ahead);
  return context;
}

// To the client all that is wrong with its certificate is the same; the log is told by the app
// data.
int verify_client(X509_STORE_CTX* chain, void*) {
  if (X509_verify_cert(chain) == 1)
    return 1;
  auto* const ssl =
      static_cast<SSL*>(X509_STORE_CTX_get_ex_data(chain, SSL_get_ex_data_X509_STORE_CTX_idx()));
  // A string that lives as long as the program.
  const char* const why = X509_verify_cert_error_string(X509_STORE_CTX_get_error(chain));
  SSL_set_app_data(ssl, const_cast<char*>(why));
  X509_STORE_CTX_set_error(chain, X509_V_ERR_CERT_REJECTED);
  return 0;
}

}  // namespace

std::string cipher_suites() {
  return has_aes_instructions()
             ? "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
             : "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384";
}

bool uses_tls(const ClientSecurity& security, std::string_view host) {
  if (security.tls != Tls::automatic)
    return security.tls == Tls::on;
  return !is_loopback_name(host) || !security.ca_file.empty() || !security.server_name.empty() ||
         !security.certificate_file.empty();
}

Result<std::shared_ptr<const TlsContext>> TlsContext::for_client(const ClientSecurity& security,
                                                                 const std::string& host) {
  auto context = make_context();
  if (!context)
    return fail(context);
  SSL_CTX_set_verify(context->get(), SSL_VERIFY_PEER, nullptr);
  if (!security.ca_file.empty()) {
    if (auto loaded = load_authorities(context->get(), security.ca_file); !loaded)
      return fail(loaded);
  } else if (SSL_CTX_set_default_verify_paths(context->get()) != 1) {
    return fail(Errc::unsupported, "the system's authorities cannot be read", {},
                "name the server's authority by a file");
  }
  if (!security.certificate_file.empty() || !security.key_file.empty())
    if (auto loaded = load_identity(context->get(), security.certificate_file, security.key_file);
        !loaded)
      return fail(loaded);
  const std::shared_ptr<TlsContext> made(new TlsContext);
  made->context_ = std::move(*context);
  made->name_ = security.server_name.empty() ? host : security.server_name;
  return made;
}

Result<std::shared_ptr<const TlsContext>> TlsContext::for_server(const ServerSecurity& security) {
  auto context = make_context();
  if (!context)
    return fail(context);
  if (security.certificate_file.empty() && security.key_file.empty())
    return fail(Errc::invalid_argument, "TLS needs a certificate and its private key", {},
                "`cleave cert` makes them for development");
  if (auto loaded = load_identity(context->get(), security.certificate_file, security.key_file);
      !loaded)
    return fail(loaded);
  if (!security.client_ca_file.empty()) {
    if (auto loaded = load_authorities(context->get(), security.client_ca_file); !loaded)
      return fail(loaded);
    SSL_CTX_set_verify(context->get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    SSL_CTX_set_cert_verify_callback(context->get(), verify_client, nullptr);
  }
  const std::shared_ptr<TlsContext> made(new TlsContext);
  made->context_ = std::move(*context);
  made->server_ = true;
  return made;
}

Result<SslPtr> TlsContext::make_ssl() const {
  ERR_clear_error();
  SslPtr ssl(SSL_new(context_.get()));
  if (!ssl)
    return fail(Errc::exhausted, "OpenSSL: " + openssl_complaint());
  if (server_) {
    SSL_set_accept_state(ssl.get());
    return ssl;
  }
  SSL_set_connect_state(ssl.get());
  X509_VERIFY_PARAM* const verify = SSL_get0_param(ssl.get());
  X509_VERIFY_PARAM_set_hostflags(
      verify, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  error_code error;
  asio::ip::make_address(name_, error);
  const bool set = error ? X509_VERIFY_PARAM_set1_host(verify, name_.c_str(), name_.size()) == 1 &&
                               SSL_set_tlsext_host_name(ssl.get(), name_.c_str()) == 1
                         : X509_VERIFY_PARAM_set1_ip_asc(verify, name_.c_str()) == 1;
  if (!set)
    return fail(Errc::invalid_argument, "not a name that a certificate can be for", name_);
  return ssl;
}

}  // namespace cleave::inline v0::transport
