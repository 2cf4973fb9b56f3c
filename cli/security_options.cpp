#include "cli/security_options.hpp"

#include <cleave/core/file.hpp>

#include <sys/stat.h>

#include <cstdlib>

namespace cleave::cli {
namespace {

using core::Errc;
using core::fail;

constexpr std::size_t max_token_file = 4096;

core::Result<std::string> read_token(const std::string& path) {
  auto text = core::read_text(path, max_token_file);
  if (!text)
    return text;
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0 && (info.st_mode & S_IRWXO) != 0)
    return fail(Errc::permission_denied, "a token that everybody may read", path,
                "chmod 600 it, and think of who has read it");
  text->erase(text->find_last_not_of(" \t\r\n") + 1);
  if (text->empty())
    return fail(Errc::corrupt, "there is no token in the file", path, "`cleave token` makes one");
  return text;
}

}  // namespace

void add_client_security(CLI::App& app, ClientSecurityOptions& options) {
  const char* const group = "Security";
  app.add_option("--ca", options.security.ca_file,
                 "Trust servers whose certificate these authorities (PEM) have signed; none: those "
                 "of the system")
      ->group(group);
  app.add_option("--server-name", options.security.server_name,
                 "The name or address that the server's certificate must be for (none: the host of "
                 "--cloud)")
      ->group(group);
  app.add_option("--cert", options.security.certificate_file,
                 "The certificate (PEM) of this client, where the server asks for one")
      ->group(group);
  app.add_option("--key", options.security.key_file, "Its private key")->group(group);
  app.add_option("--token-file", options.token_file,
                 "A file with the token that the server wants (or CLEAVE_TOKEN in the environment)")
      ->group(group);
  app.add_flag("--insecure", options.insecure,
               "Plaintext, unverified, to any host; without it TLS is on beyond loopback")
      ->group(group);
}

core::Result<transport::ClientSecurity> client_security(const ClientSecurityOptions& options) {
  transport::ClientSecurity security = options.security;
  if (options.insecure)
    security.tls = transport::Tls::off;
  if (!options.token_file.empty()) {
    auto token = read_token(options.token_file);
    if (!token)
      return fail(token);
    security.token = std::move(*token);
  } else if (const char* const token = std::getenv("CLEAVE_TOKEN")) {
    security.token = token;
  }
  return security;
}

void add_server_security(CLI::App& app, ServerSecurityOptions& options) {
  const char* const group = "Security";
  app.add_option("--tls-cert", options.security.certificate_file,
                 "This server's certificate and its chain (PEM); turns TLS on")
      ->group(group);
  app.add_option("--tls-key", options.security.key_file, "Its private key")->group(group);
  app.add_option("--client-ca", options.security.client_ca_file,
                 "Clients need a certificate that these authorities (PEM) have signed")
      ->group(group);
  app.add_option("--tokens", options.security.tokens_file,
                 "Clients need a token of this file, which `cleave token` writes")
      ->group(group);
  app.add_flag("--insecure", options.insecure,
               "Plaintext; without it nothing but loopback is listened on without TLS")
      ->group(group);
}

transport::ServerSecurity server_security(const ServerSecurityOptions& options) {
  transport::ServerSecurity security = options.security;
  if (options.insecure)
    security.tls = transport::Tls::off;
  return security;
}

}  // namespace cleave::cli
